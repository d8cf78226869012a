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

  ;; Sum of squares, in float64.
  (func (export "squares") (param $values i32) (param $length i32) (result f64)
    (local $end i32) (local $four v128) (local $two v128) (local $low v128) (local $high v128)
    (local.set $end (i32.add (local.get $values) (local.get $length)))
    (loop $more
      (local.set $four (v128.load (local.get $values)))
      (local.set $two (f64x2.promote_low_f32x4 (local.get $four)))
      (local.set $low (f64x2.add (local.get $low) (f64x2.mul (local.get $two) (local.get $two))))
      (local.set $two (f64x2.promote_low_f32x4
        (i64x2.splat (i64x2.extract_lane 1 (local.get $four)))))
      (local.set $high (f64x2.add (local.get $high) (f64x2.mul (local.get $two) (local.get $two))))
      (br_if $more (i32.lt_u
        (local.tee $values (i32.add (local.get $values) (i32.const 16)))
        (local.get $end))))
    (f64.add
      (f64.add (f64x2.extract_lane 0 (local.get $low)) (f64x2.extract_lane 1 (local.get $low)))
      (f64.add (f64x2.extract_lane 0 (local.get $high)) (f64x2.extract_lane 1 (local.get $high)))))

  ;; 1 where no exponent has all bits set, which those of infinities and NaN have; else 0.
  (func (export "areFinite") (param $values i32) (param $length i32) (result i32)
    (local $end i32) (local $found v128) (local $exponent v128)
    (local.set $end (i32.add (local.get $values) (local.get $length)))
    (local.set $exponent (i32x4.splat (i32.const 0x7f800000)))
    (loop $four
      (local.set $found (v128.or (local.get $found) (i32x4.eq (local.get $exponent)
        (v128.and (local.get $exponent) (v128.load (local.get $values))))))
      (br_if $four (i32.lt_u
        (local.tee $values (i32.add (local.get $values) (i32.const 16)))
        (local.get $end))))
    (i32.eqz (v128.any_true (local.get $found))))

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
