;; What is done to every value of a vector that is averaged, four at a time. Addresses are bytes in the exported memory,
;; lengths bytes of float32 values, all multiples of 16. kernel.ts uses it.
;; Assembled by
;;
;;     npx --package=wabt@1.0.39 wat2wasm kernel.wat -o kernel.wasm
(module
  (memory (export "memory") 26)

  ;; left += right.
  (func (export "add") (param $left i32) (param $right i32) (param $length i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $left) (local.get $length)))
    (loop $four
      (v128.store (local.get $left)
        (f32x4.add (v128.load (local.get $left)) (v128.load (local.get $right))))
      (local.set $right (i32.add (local.get $right) (i32.const 16)))
      (br_if $four (i32.lt_u
        (local.tee $left (i32.add (local.get $left) (i32.const 16)))
        (local.get $end)))))

  ;; values /= divisor.
  (func (export "divide") (param $values i32) (param $divisor f32) (param $length i32)
    (local $end i32) (local $by v128)
    (local.set $by (f32x4.splat (local.get $divisor)))
    (local.set $end (i32.add (local.get $values) (local.get $length)))
    (loop $four
      (v128.store (local.get $values) (f32x4.div (v128.load (local.get $values)) (local.get $by)))
      (br_if $four (i32.lt_u
        (local.tee $values (i32.add (local.get $values) (i32.const 16)))
        (local.get $end)))))

  ;; The upper halves of float32 values, to values.
  (func (export "widen") (param $halves i32) (param $values i32) (param $length i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $values) (local.get $length)))
    (loop $four
      (v128.store (local.get $values)
        (i32x4.shl (v128.load16x4_u (local.get $halves)) (i32.const 16)))
      (local.set $halves (i32.add (local.get $halves) (i32.const 8)))
      (br_if $four (i32.lt_u
        (local.tee $values (i32.add (local.get $values) (i32.const 16)))
        (local.get $end)))))

  ;; Codes times the scale of their block, for $blocks blocks of 256.
  (func (export "scale") (param $codes i32) (param $scales i32) (param $values i32) (param $blocks i32)
    (local $end i32) (local $by v128) (local $eight v128)
    (loop $block
      (local.set $by (v128.load32_splat (local.get $scales)))
      (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
      (local.set $end (i32.add (local.get $codes) (i32.const 256)))
      (loop $more
        (local.set $eight (v128.load8x8_s (local.get $codes)))
        (v128.store (local.get $values) (f32x4.mul (local.get $by)
          (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_s (local.get $eight)))))
        (v128.store offset=16 (local.get $values) (f32x4.mul (local.get $by)
          (f32x4.convert_i32x4_s (i32x4.extend_high_i16x8_s (local.get $eight)))))
        (local.set $values (i32.add (local.get $values) (i32.const 32)))
        (br_if $more (i32.lt_u
          (local.tee $codes (i32.add (local.get $codes) (i32.const 8)))
          (local.get $end))))
      (br_if $block (local.tee $blocks (i32.sub (local.get $blocks) (i32.const 1)))))))
