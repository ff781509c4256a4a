//! Signatures of RSA with salts of any length (RSASSA-PSS with SHA-256), as Go makes them: its salts are as long as they
//! can be, and ring believes only those that are as long as the digest.
//!
//! In: a public key's numbers, a message, a signature. Out: whether they belong together. Everything here is public, so
//! nothing takes care to take the same time.

use ring::digest::{SHA256, SHA256_OUTPUT_LEN as HASH, digest};

/// Whether the holder of the key with the modulus `n` and the exponent `e` signed the message. Neither number begins with
/// a zero.
pub fn verify(n: &[u8], e: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let exponent = e.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let odd = n.last().is_some_and(|last| last % 2 == 1);
    if !odd || e.len() > 4 || exponent < 2 || signature.len() != n.len() || signature >= n {
        return false;
    }
    let encoded = Modulus::new(n).power(signature, exponent);
    let bits = 8 * n.len() - n.first().map_or(0, |first| first.leading_zeros() as usize) - 1;
    // The modulus may be one bit longer than whole bytes.
    let Some((above, encoded)) = encoded.split_at_checked(n.len() - bits.div_ceil(8)) else { return false };
    above.iter().all(|byte| *byte == 0) && is_encoded(encoded, 8 * encoded.len() - bits, message)
}

/// Whether it is the message as it is encoded, with so many bits at its front that must be zero.
fn is_encoded(encoded: &[u8], unused: usize, message: &[u8]) -> bool {
    let Some((0xbc, rest)) = encoded.split_last().map(|(last, rest)| (*last, rest)) else { return false };
    let Some((masked, hash)) = rest.len().checked_sub(HASH).map(|at| rest.split_at(at)) else { return false };
    let mask = 0xff_u8 >> unused;
    if masked.first().is_none_or(|first| first & !mask != 0) {
        return false;
    }
    let mut block = masked.to_vec();
    for (counter, part) in (0_u32..).zip(block.chunks_mut(HASH)) {
        let seed = digest(&SHA256, &[hash, &counter.to_be_bytes()].concat());
        part.iter_mut().zip(seed.as_ref()).for_each(|(byte, other)| *byte ^= other);
    }
    block[0] &= mask;
    let Some(mark) = block.iter().position(|byte| *byte != 0).filter(|at| block[*at] == 1) else { return false };
    let hashed = digest(&SHA256, message);
    digest(&SHA256, &[&[0; 8], hashed.as_ref(), &block[mark + 1..]].concat()).as_ref() == hash
}

/// An odd number, and what products modulo it take (Montgomery's form). The last word is the largest.
struct Modulus {
    words: Vec<u32>,
    /// What makes the lowest word of a multiple zero.
    inverse: u32,
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.rchunks(4).map(|chunk| chunk.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))).collect()
}

/// Adds `a * b` to `sum`; out: what is carried beyond it.
fn add(sum: &mut [u32], a: u32, b: &[u32]) -> u64 {
    let mut carry = 0;
    for (word, b) in sum.iter_mut().zip(b) {
        carry += u64::from(*word) + u64::from(a) * u64::from(*b);
        *word = carry as u32;
        carry >>= 32;
    }
    carry
}

impl Modulus {
    fn new(bytes: &[u8]) -> Modulus {
        let words = words(bytes);
        let lowest = words.first().copied().unwrap_or(1);
        // Each step makes twice as many bits right.
        let inverse = (0..5).fold(1, |x: u32, _| x.wrapping_mul(2_u32.wrapping_sub(lowest.wrapping_mul(x))));
        Modulus { words, inverse: inverse.wrapping_neg() }
    }

    /// The number, of one word more than the modulus and less than twice as large, within the modulus.
    fn within(&self, number: &mut Vec<u32>) {
        let above = number.pop().unwrap_or(0);
        if above != 0 || number.iter().rev().ge(self.words.iter().rev()) {
            let mut borrow = false;
            for (word, own) in number.iter_mut().zip(&self.words) {
                let (less, first) = word.overflowing_sub(*own);
                let (less, second) = less.overflowing_sub(borrow.into());
                (*word, borrow) = (less, first || second);
            }
        }
    }

    /// `a * b` divided by 2 to the power of all bits of the words.
    fn product(&self, a: &[u32], b: &[u32]) -> Vec<u32> {
        let length = self.words.len();
        let mut sum = vec![0_u32; length + 2];
        for a in a {
            for (factor, other) in [(Some(*a), b), (None, &self.words[..])] {
                let factor = factor.unwrap_or_else(|| sum[0].wrapping_mul(self.inverse));
                let carry = add(&mut sum[..length], factor, other) + u64::from(sum[length]);
                sum[length] = carry as u32;
                sum[length + 1] += (carry >> 32) as u32;
            }
            // Its lowest word is zero now.
            sum.remove(0);
            sum.push(0);
        }
        sum.pop();
        self.within(&mut sum);
        sum
    }

    /// The power of a smaller number, as many bytes as the modulus has.
    fn power(&self, base: &[u8], exponent: u64) -> Vec<u8> {
        let length = self.words.len();
        let mut one = vec![0; length];
        one[0] = 1;
        // 2 to the power of twice all bits, by which numbers come into the form.
        let mut square = one.clone();
        for _ in 0..64 * length {
            let mut carry = 0;
            for word in &mut square {
                (*word, carry) = (*word << 1 | carry, *word >> 31);
            }
            square.push(carry);
            self.within(&mut square);
        }
        let mut number = words(base);
        number.resize(length, 0);
        let number = self.product(&number, &square);
        let mut power = self.product(&one, &square);
        for bit in (0..u64::BITS - exponent.leading_zeros()).rev() {
            power = self.product(&power, &power);
            if exponent >> bit & 1 == 1 {
                power = self.product(&power, &number);
            }
        }
        let bytes: Vec<u8> = self.product(&power, &one).iter().rev().flat_map(|word| word.to_be_bytes()).collect();
        bytes[bytes.len() - base.len()..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_what_they_are_in_words_of_the_machine() {
        let moduli = [3_u64, 0xffff_fffb, 0x1_0000_0001, 0xffff_ffff_ffff_ffc5, 0x8000_0000_0000_0001];
        for modulus in moduli {
            let power = |base: u64, exponent: u64| {
                (0..exponent).fold(1_u128, |sum, _| sum * u128::from(base) % u128::from(modulus)) as u64
            };
            for (base, exponent) in [(0, 3), (1, 65), (2, 5), (modulus - 1, 3), (modulus / 2, 17), (modulus - 2, 257)] {
                let seen = Modulus::new(&modulus.to_be_bytes()).power(&base.to_be_bytes(), exponent);
                assert_eq!(seen, power(base, exponent).to_be_bytes(), "{base} ^ {exponent} % {modulus}");
            }
        }
    }

    #[test]
    fn numbers_that_are_no_key_are_refused() {
        for (n, e, signature) in [
            (&[][..], &[3][..], &[][..]),
            (&[4], &[3], &[1]),
            (&[5], &[1], &[1]),
            (&[5], &[], &[1]),
            (&[5], &[3], &[5]),
            (&[5], &[3], &[1]),
            (&[5, 1], &[1, 0, 0, 0, 1], &[1, 1]),
            (&[1; 64], &[3], &[0; 64]),
        ] {
            assert!(!verify(n, e, b"text", signature), "{n:?}");
        }
    }
}
