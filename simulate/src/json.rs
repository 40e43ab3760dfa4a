//! JSON by hand into a reused buffer: what makes the generator faster than the engine it feeds.
//!
//! Only for texts that need no escape (identifiers and titles of this crate); reference records use serde_json.

/// Appends `text` as it is.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Appends an integer.
pub(crate) fn int(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `scaled` / 10^`decimals`, with all its decimals.
pub(crate) fn decimal(out: &mut Vec<u8>, scaled: i64, decimals: u32) {
    let unit = 10i64.pow(decimals);
    if scaled < 0 {
        out.push(b'-');
    }
    let magnitude = scaled.unsigned_abs();
    int(out, (magnitude / unit as u64) as i64);
    if decimals > 0 {
        out.push(b'.');
        let fraction = magnitude % unit as u64;
        let mut place = unit as u64 / 10;
        while place > 0 {
            out.push(b'0' + (fraction / place % 10) as u8);
            place /= 10;
        }
    }
}

/// Appends a finite number rounded to `decimals`.
pub(crate) fn number(out: &mut Vec<u8>, value: f64, decimals: u32) {
    decimal(out, (value * 10f64.powi(decimals as i32)).round() as i64, decimals);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are() {
        let check = |value: f64, decimals: u32, expect: &str| {
            let mut out = Vec::new();
            number(&mut out, value, decimals);
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        };
        check(0.0, 0, "0");
        check(-0.04, 2, "-0.04");
        check(109.4843394, 7, "109.4843394");
        check(-12.0, 1, "-12.0");
        check(1e12, 0, "1000000000000");
        let mut out = Vec::new();
        int(&mut out, i64::MIN);
        assert_eq!(String::from_utf8(out).unwrap(), i64::MIN.to_string());
    }
}
