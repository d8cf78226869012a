;; The one loop of the codecs that is slow in JavaScript, four values at a time. Addresses are bytes in the exported
;; memory, multiples of 16. int8.ts uses it; the same arithmetic in plain TypeScript is in tests/dist/codecs_test.ts.
;; Assembled by
;;
;;     npx --package=wabt@1.0.39 wat2wasm int8.wat -o int8.wasm
(module
  (memory (export "memory") 3)

  ;; $blocks blocks of 256 values: a float32 scale each, the largest magnitude / 127, then
  ;; codes = nearest(value / scale + dither), ties to even. A NaN or an infinity is the scale, too.
  (func (export "encodeInt8")
    (param $values i32) (param $dither i32) (param $scales i32) (param $codes i32) (param $blocks i32)
    (local $end i32) (local $at i32) (local $largest v128) (local $scale v128) (local $half v128)
    (loop $block
      (local.set $largest (v128.const f32x4 0 0 0 0))
      (local.set $at (local.get $values))
      (local.set $end (i32.add (local.get $values) (i32.const 1024)))
      (loop $four
        (local.set $largest
          (f32x4.max (local.get $largest) (f32x4.abs (v128.load (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $four (i32.lt_u (local.get $at) (local.get $end))))
      ;; the largest of the four lanes, in all of them
      (local.set $largest (f32x4.max (local.get $largest)
        (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $largest) (local.get $largest))))
      (local.set $largest (f32x4.max (local.get $largest)
        (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $largest) (local.get $largest))))
      (local.set $scale (f32x4.div (local.get $largest) (v128.const f32x4 127 127 127 127)))
      (f32.store (local.get $scales) (f32x4.extract_lane 0 (local.get $scale)))
      (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
      (loop $sixteen
        (local.set $half (i16x8.narrow_i32x4_s
          (call $code (local.get $values) (local.get $dither) (local.get $scale))
          (call $code (i32.add (local.get $values) (i32.const 16)) (i32.add (local.get $dither) (i32.const 16))
            (local.get $scale))))
        (v128.store (local.get $codes) (i8x16.narrow_i16x8_s
          (local.get $half)
          (i16x8.narrow_i32x4_s
            (call $code (i32.add (local.get $values) (i32.const 32)) (i32.add (local.get $dither) (i32.const 32))
              (local.get $scale))
            (call $code (i32.add (local.get $values) (i32.const 48)) (i32.add (local.get $dither) (i32.const 48))
              (local.get $scale)))))
        (local.set $codes (i32.add (local.get $codes) (i32.const 16)))
        (local.set $dither (i32.add (local.get $dither) (i32.const 64)))
        (local.set $values (i32.add (local.get $values) (i32.const 64)))
        (br_if $sixteen (i32.lt_u (local.get $values) (local.get $end))))
      (br_if $block (local.tee $blocks (i32.sub (local.get $blocks) (i32.const 1))))))

  ;; Codes of four values, not yet limited to int8.
  (func $code (param $values i32) (param $dither i32) (param $scale v128) (result v128)
    (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.add
      (f32x4.div (v128.load (local.get $values)) (local.get $scale))
      (v128.load (local.get $dither)))))))
