;; The one loop of the codecs that is slow in JavaScript, four values at a time. Addresses are bytes in the exported
;; memory, multiples of 16. int8.ts uses it; the same arithmetic in plain TypeScript is in tests/dist/codecs.
;; Assembled by
;;
;;     npx --package=wabt@1.0.39 wat2wasm int8.wat -o int8.wasm
(module
  (memory (export "memory") 5)

  ;; $blocks blocks of 256 values: a float32 scale each, the largest magnitude / 127, then
  ;; codes = nearest(value / scale + dither), ties to even. The scale is NaN where a value is NaN or infinite.
  (func (export "encodeInt8")
    (param $values i32) (param $dither i32) (param $scales i32) (param $codes i32) (param $blocks i32)
    (local $end i32) (local $at i32) (local $largest v128) (local $scale v128)
    (loop $block
      ;; Magnitudes are ordered like their bits taken as integers, NaN above infinity.
      (local.set $largest (v128.const i32x4 0 0 0 0))
      (local.set $at (local.get $values))
      (local.set $end (i32.add (local.get $values) (i32.const 1024)))
      (loop $four
        (local.set $largest (i32x4.max_s (local.get $largest)
          (v128.and (v128.load (local.get $at)) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $four (i32.lt_u (local.get $at) (local.get $end))))
      ;; The largest of the four lanes, in all of them.
      (local.set $largest (i32x4.max_s (local.get $largest)
        (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $largest) (local.get $largest))))
      (local.set $largest (i32x4.max_s (local.get $largest)
        (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $largest) (local.get $largest))))
      (local.set $scale (f32x4.add
        (f32x4.div (local.get $largest) (v128.const f32x4 127 127 127 127))
        (f32x4.sub (local.get $largest) (local.get $largest)))) ;; infinity less infinity is NaN
      (f32.store (local.get $scales) (f32x4.extract_lane 0 (local.get $scale)))
      (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
      ;; Divided by the smallest number instead of by 0, zeros stay zeros.
      (local.set $scale (i32x4.max_s (local.get $scale) (v128.const i32x4 1 1 1 1)))
      (loop $sixteen
        (v128.store (local.get $codes) (i8x16.narrow_i16x8_s
          (i16x8.narrow_i32x4_s
            (call $code (v128.load (local.get $values)) (v128.load (local.get $dither)) (local.get $scale))
            (call $code (v128.load offset=16 (local.get $values)) (v128.load offset=16 (local.get $dither))
              (local.get $scale)))
          (i16x8.narrow_i32x4_s
            (call $code (v128.load offset=32 (local.get $values)) (v128.load offset=32 (local.get $dither))
              (local.get $scale))
            (call $code (v128.load offset=48 (local.get $values)) (v128.load offset=48 (local.get $dither))
              (local.get $scale)))))
        (local.set $codes (i32.add (local.get $codes) (i32.const 16)))
        (local.set $dither (i32.add (local.get $dither) (i32.const 64)))
        (local.set $values (i32.add (local.get $values) (i32.const 64)))
        (br_if $sixteen (i32.lt_u (local.get $values) (local.get $end))))
      (br_if $block (local.tee $blocks (i32.sub (local.get $blocks) (i32.const 1))))))

  ;; Codes of four values, not yet limited to int8: added to 1.5 * 2^23, a number's last bits are what it was rounded to.
  (func $code (param $values v128) (param $dither v128) (param $scale v128) (result v128)
    (i32x4.sub
      (f32x4.add
        (f32x4.add (f32x4.div (local.get $values) (local.get $scale)) (local.get $dither))
        (v128.const f32x4 12582912 12582912 12582912 12582912))
      (v128.const f32x4 12582912 12582912 12582912 12582912)))

  ;; values += residual * tokens, for $blocks blocks of 256.
  (func (export "compensate") (param $values i32) (param $residual i32) (param $tokens f32) (param $blocks i32)
    (local $end i32) (local $factor v128)
    (local.set $factor (f32x4.splat (local.get $tokens)))
    (local.set $end (i32.add (local.get $values) (i32.shl (local.get $blocks) (i32.const 10))))
    (loop $four
      (v128.store (local.get $values) (f32x4.add (v128.load (local.get $values))
        (f32x4.mul (v128.load (local.get $residual)) (local.get $factor))))
      (local.set $residual (i32.add (local.get $residual) (i32.const 16)))
      (br_if $four (i32.lt_u
        (local.tee $values (i32.add (local.get $values) (i32.const 16)))
        (local.get $end)))))

  ;; What encoding loses: residual += (value - code * scale) / tokens, for $blocks blocks of 256.
  (func (export "lose")
    (param $values i32) (param $scales i32) (param $codes i32) (param $residual i32) (param $tokens f32)
    (param $blocks i32)
    (local $end i32) (local $divisor v128) (local $scale v128)
    (local.set $divisor (f32x4.splat (local.get $tokens)))
    (loop $block
      (local.set $scale (v128.load32_splat (local.get $scales)))
      (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
      (local.set $end (i32.add (local.get $codes) (i32.const 256)))
      (loop $four
        (v128.store (local.get $residual) (f32x4.add (v128.load (local.get $residual)) (f32x4.div
          (f32x4.sub (v128.load (local.get $values)) (f32x4.mul (local.get $scale)
            (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_s (i16x8.extend_low_i8x16_s
              (v128.load32_zero (local.get $codes)))))))
          (local.get $divisor))))
        (local.set $residual (i32.add (local.get $residual) (i32.const 16)))
        (local.set $values (i32.add (local.get $values) (i32.const 16)))
        (br_if $four (i32.lt_u
          (local.tee $codes (i32.add (local.get $codes) (i32.const 4)))
          (local.get $end))))
      (br_if $block (local.tee $blocks (i32.sub (local.get $blocks) (i32.const 1)))))))
