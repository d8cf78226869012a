;; What is done to every value of a vector that is averaged, four at a time. Addresses are bytes in the exported memory,
;; lengths bytes of float32 values, all multiples of 16. kernel.ts uses it.
;; `deno task build:kernel` assembles it to kernel.wasm.
(module
  (memory (export "memory") 54)

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

  ;; Squares of values, rows of 1,024, added to 1,024 running sums in float64: each row after the row before, column by column. Four
  ;; rows at a time, so that the sums are read and written a quarter as often: $length is a multiple of 16,384.
  (func (export "addSquares") (param $values i32) (param $length i32) (param $columns i32)
    (local $end i32) (local $from i32) (local $column i32)
    (local $four v128) (local $low v128) (local $high v128)
    (local.set $end (i32.add (local.get $values) (local.get $length)))
    (loop $fourRows
      (local.set $from (local.get $values))
      (local.set $values (i32.add (local.get $values) (i32.const 16384)))
      (local.set $column (local.get $columns))
      (loop $fourColumns
        (local.set $low (v128.load (local.get $column)))
        (local.set $high (v128.load offset=16 (local.get $column)))
        (local.set $four (v128.load (local.get $from)))
        (local.set $low (f64x2.add (local.get $low) (call $lowSquares (local.get $four))))
        (local.set $high (f64x2.add (local.get $high) (call $highSquares (local.get $four))))
        (local.set $four (v128.load offset=4096 (local.get $from)))
        (local.set $low (f64x2.add (local.get $low) (call $lowSquares (local.get $four))))
        (local.set $high (f64x2.add (local.get $high) (call $highSquares (local.get $four))))
        (local.set $four (v128.load offset=8192 (local.get $from)))
        (local.set $low (f64x2.add (local.get $low) (call $lowSquares (local.get $four))))
        (local.set $high (f64x2.add (local.get $high) (call $highSquares (local.get $four))))
        (local.set $four (v128.load offset=12288 (local.get $from)))
        (local.set $low (f64x2.add (local.get $low) (call $lowSquares (local.get $four))))
        (local.set $high (f64x2.add (local.get $high) (call $highSquares (local.get $four))))
        (v128.store (local.get $column) (local.get $low))
        (v128.store offset=16 (local.get $column) (local.get $high))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (br_if $fourColumns (i32.lt_u
          (local.tee $column (i32.add (local.get $column) (i32.const 32)))
          (i32.add (local.get $columns) (i32.const 8192)))))
      (br_if $fourRows (i32.lt_u (local.get $values) (local.get $end)))))

  ;; values /= divisor, and the quotients' squares: both functions above in one pass.
  (func (export "divideAndAddSquares")
    (param $values i32) (param $divisor f32) (param $length i32) (param $columns i32)
    (local $end i32) (local $from i32) (local $column i32) (local $by v128)
    (local $four v128) (local $low v128) (local $high v128)
    (local.set $by (f32x4.splat (local.get $divisor)))
    (local.set $end (i32.add (local.get $values) (local.get $length)))
    (loop $fourRows
      (local.set $from (local.get $values))
      (local.set $values (i32.add (local.get $values) (i32.const 16384)))
      (local.set $column (local.get $columns))
      (loop $fourColumns
        (local.set $low (v128.load (local.get $column)))
        (local.set $high (v128.load offset=16 (local.get $column)))
        (local.set $four (f32x4.div (v128.load (local.get $from)) (local.get $by)))
        (v128.store (local.get $from) (local.get $four))
        (local.set $low (f64x2.add (local.get $low) (call $lowSquares (local.get $four))))
        (local.set $high (f64x2.add (local.get $high) (call $highSquares (local.get $four))))
        (local.set $four (f32x4.div (v128.load offset=4096 (local.get $from)) (local.get $by)))
        (v128.store offset=4096 (local.get $from) (local.get $four))
        (local.set $low (f64x2.add (local.get $low) (call $lowSquares (local.get $four))))
        (local.set $high (f64x2.add (local.get $high) (call $highSquares (local.get $four))))
        (local.set $four (f32x4.div (v128.load offset=8192 (local.get $from)) (local.get $by)))
        (v128.store offset=8192 (local.get $from) (local.get $four))
        (local.set $low (f64x2.add (local.get $low) (call $lowSquares (local.get $four))))
        (local.set $high (f64x2.add (local.get $high) (call $highSquares (local.get $four))))
        (local.set $four (f32x4.div (v128.load offset=12288 (local.get $from)) (local.get $by)))
        (v128.store offset=12288 (local.get $from) (local.get $four))
        (local.set $low (f64x2.add (local.get $low) (call $lowSquares (local.get $four))))
        (local.set $high (f64x2.add (local.get $high) (call $highSquares (local.get $four))))
        (v128.store (local.get $column) (local.get $low))
        (v128.store offset=16 (local.get $column) (local.get $high))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (br_if $fourColumns (i32.lt_u
          (local.tee $column (i32.add (local.get $column) (i32.const 32)))
          (i32.add (local.get $columns) (i32.const 8192)))))
      (br_if $fourRows (i32.lt_u (local.get $values) (local.get $end)))))

  ;; Squares in float64 of the first two of four values, and of the last two.
  (func $lowSquares (param $four v128) (result v128)
    (local $two v128)
    (local.set $two (f64x2.promote_low_f32x4 (local.get $four)))
    (f64x2.mul (local.get $two) (local.get $two)))

  (func $highSquares (param $four v128) (result v128)
    (call $lowSquares
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $four) (local.get $four))))

  ;; The 1,024 sums in one: as 32 rows of 32, each added to the row before, then these 32 one after the other.
  (func (export "sumOfColumns") (param $columns i32) (result f64)
    (local $column i32) (local $at i32) (local $end i32) (local $two v128) (local $sum f64)
    (loop $twoColumns
      (local.set $at (i32.add (local.get $columns) (local.get $column)))
      (local.set $end (i32.add (local.get $at) (i32.const 8192)))
      (local.set $two (v128.const i64x2 0 0))
      (loop $row
        (local.set $two (f64x2.add (local.get $two) (v128.load (local.get $at))))
        (br_if $row (i32.lt_u
          (local.tee $at (i32.add (local.get $at) (i32.const 256)))
          (local.get $end))))
      (local.set $sum (f64.add (local.get $sum) (f64x2.extract_lane 0 (local.get $two))))
      (local.set $sum (f64.add (local.get $sum) (f64x2.extract_lane 1 (local.get $two))))
      (br_if $twoColumns (i32.lt_u
        (local.tee $column (i32.add (local.get $column) (i32.const 16)))
        (i32.const 256))))
    (local.get $sum))

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
      (br_if $block (local.tee $blocks (i32.sub (local.get $blocks) (i32.const 1))))))

  ;; Float32 values to their upper halves, rounded to nearest, ties to even; a NaN stays one, whichever bits it has. Eight at
  ;; a time.
  (func (export "narrow") (param $values i32) (param $halves i32) (param $length i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $values) (local.get $length)))
    (loop $eight
      (v128.store (local.get $halves) (i16x8.narrow_i32x4_u
        (call $half (v128.load (local.get $values)))
        (call $half (v128.load offset=16 (local.get $values)))))
      (local.set $halves (i32.add (local.get $halves) (i32.const 16)))
      (br_if $eight (i32.lt_u
        (local.tee $values (i32.add (local.get $values) (i32.const 32)))
        (local.get $end)))))

  (func $half (param $bits v128) (result v128)
    (local $upper v128)
    (local.set $upper (i32x4.shr_u (local.get $bits) (i32.const 16)))
    (v128.bitselect
      (v128.or (local.get $upper) (v128.const i32x4 0x40 0x40 0x40 0x40))
      (i32x4.shr_u
        (i32x4.add (local.get $bits) (i32x4.add (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff)
          (v128.and (local.get $upper) (v128.const i32x4 1 1 1 1))))
        (i32.const 16))
      (i32x4.gt_s
        (v128.and (local.get $bits) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))
        (v128.const i32x4 0x7f800000 0x7f800000 0x7f800000 0x7f800000))))

  ;; Blocks of 256 values: a float32 scale each, the largest magnitude / 127, then
  ;; codes = nearest(value / scale), ties to even. The scale is NaN where a value is NaN or infinite.
  (func (export "encodeInt8")
    (param $values i32) (param $scales i32) (param $codes i32) (param $blocks i32)
    (loop $block
      (call $encodeBlock (local.get $values) (local.get $scales) (local.get $codes))
      (local.set $values (i32.add (local.get $values) (i32.const 1024)))
      (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
      (local.set $codes (i32.add (local.get $codes) (i32.const 256)))
      (br_if $block (local.tee $blocks (i32.sub (local.get $blocks) (i32.const 1))))))

  ;; The same of values + residual * tokens; residual = (that - code * scale) / tokens.
  (func (export "encodeInt8WithResidual")
    (param $values i32) (param $scales i32) (param $codes i32) (param $residual i32)
    (param $tokens f32) (param $blocks i32)
    (local $end i32) (local $factor v128) (local $scale v128)
    (local.set $factor (f32x4.splat (local.get $tokens)))
    (loop $block
      (local.set $end (i32.add (local.get $values) (i32.const 1024)))
      (loop $four
        (v128.store (local.get $values) (f32x4.add (v128.load (local.get $values))
          (f32x4.mul (v128.load (local.get $residual)) (local.get $factor))))
        (local.set $residual (i32.add (local.get $residual) (i32.const 16)))
        (br_if $four (i32.lt_u
          (local.tee $values (i32.add (local.get $values) (i32.const 16)))
          (local.get $end))))
      (local.set $values (i32.sub (local.get $values) (i32.const 1024)))
      (local.set $residual (i32.sub (local.get $residual) (i32.const 1024)))
      (call $encodeBlock (local.get $values) (local.get $scales) (local.get $codes))
      (local.set $scale (v128.load32_splat (local.get $scales)))
      (loop $four
        (v128.store (local.get $residual)
          (call $error (local.get $values) (local.get $codes) (local.get $scale) (local.get $factor)))
        (local.set $codes (i32.add (local.get $codes) (i32.const 4)))
        (local.set $residual (i32.add (local.get $residual) (i32.const 16)))
        (br_if $four (i32.lt_u
          (local.tee $values (i32.add (local.get $values) (i32.const 16)))
          (local.get $end))))
      (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
      (br_if $block (local.tee $blocks (i32.sub (local.get $blocks) (i32.const 1))))))

  ;; The error of encoding without a residual is added to one: residual += (value - code * scale) / tokens, for $blocks blocks of 256.
  (func (export "addError")
    (param $values i32) (param $scales i32) (param $codes i32) (param $residual i32) (param $tokens f32)
    (param $blocks i32)
    (local $end i32) (local $divisor v128) (local $scale v128)
    (local.set $divisor (f32x4.splat (local.get $tokens)))
    (loop $block
      (local.set $scale (v128.load32_splat (local.get $scales)))
      (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
      (local.set $end (i32.add (local.get $codes) (i32.const 256)))
      (loop $four
        (v128.store (local.get $residual) (f32x4.add (v128.load (local.get $residual))
          (call $error (local.get $values) (local.get $codes) (local.get $scale) (local.get $divisor))))
        (local.set $residual (i32.add (local.get $residual) (i32.const 16)))
        (local.set $values (i32.add (local.get $values) (i32.const 16)))
        (br_if $four (i32.lt_u
          (local.tee $codes (i32.add (local.get $codes) (i32.const 4)))
          (local.get $end))))
      (br_if $block (local.tee $blocks (i32.sub (local.get $blocks) (i32.const 1))))))

  (func $encodeBlock (param $values i32) (param $scales i32) (param $codes i32)
    (local $end i32) (local $at i32) (local $largest v128) (local $scale v128)
    ;; Magnitudes are ordered like their bits taken as integers, NaN above infinity.
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
    ;; Divided by the smallest number instead of by 0, zeros stay zeros.
    (local.set $scale (i32x4.max_s (local.get $scale) (v128.const i32x4 1 1 1 1)))
    (loop $sixteen
      (v128.store (local.get $codes) (i8x16.narrow_i16x8_s
        (i16x8.narrow_i32x4_s
          (call $code (v128.load (local.get $values)) (local.get $scale))
          (call $code (v128.load offset=16 (local.get $values)) (local.get $scale)))
        (i16x8.narrow_i32x4_s
          (call $code (v128.load offset=32 (local.get $values)) (local.get $scale))
          (call $code (v128.load offset=48 (local.get $values)) (local.get $scale)))))
      (local.set $codes (i32.add (local.get $codes) (i32.const 16)))
      (local.set $values (i32.add (local.get $values) (i32.const 64)))
      (br_if $sixteen (i32.lt_u (local.get $values) (local.get $end)))))

  ;; Codes of four values, not yet limited to int8: added to 1.5 * 2^23, a number's last bits are what it was rounded to.
  (func $code (param $values v128) (param $scale v128) (result v128)
    (i32x4.sub
      (f32x4.add
        (f32x4.div (local.get $values) (local.get $scale))
        (v128.const f32x4 12582912 12582912 12582912 12582912))
      (v128.const f32x4 12582912 12582912 12582912 12582912)))

  ;; (value - code * scale) / divisor, of four values.
  (func $error (param $values i32) (param $codes i32) (param $scale v128) (param $divisor v128) (result v128)
    (f32x4.div
      (f32x4.sub (v128.load (local.get $values)) (f32x4.mul (local.get $scale)
        (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_s (i16x8.extend_low_i8x16_s
          (v128.load32_zero (local.get $codes)))))))
      (local.get $divisor))))
