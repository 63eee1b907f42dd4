//! Finding what does not stand for itself in a text: many bytes are looked at together.
//! <https://www.rfc-editor.org/rfc/rfc8259#section-7>

use wide::u8x16;

/// The last of the control characters, which have no place in a text.
const LAST_CONTROL: u8 = 0x1f;

/// Whether no byte needs an escape. Most texts are short and plain: they are looked at in pieces that overlap.
#[inline]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk::<16>() {
        let (blocks, _) = bytes.as_chunks::<16>();
        return blocks.iter().all(|block| marks(*block) == 0) && marks(*last) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return marks(pair(*first, *last)) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let word = pair(*first, *last);
        return marks(pair::<8, 16>(word, word)) == 0;
    }
    !bytes.iter().copied().any(is_special)
}

fn pair<const HALF: usize, const WHOLE: usize>(first: [u8; HALF], last: [u8; HALF]) -> [u8; WHOLE] {
    let mut both = [0; WHOLE];
    let (head, tail) = both.split_at_mut(HALF);
    head.copy_from_slice(&first);
    tail.copy_from_slice(&last);
    both
}

fn is_special(byte: u8) -> bool {
    byte <= LAST_CONTROL || byte == b'"' || byte == b'\\'
}

/// Where the first byte is that ends a text, begins an escape, or has no place in a text.
#[inline]
pub(super) fn special(bytes: &[u8]) -> Option<usize> {
    // Most texts end here.
    let marks = bytes.first_chunk::<16>().map_or(0, |block| marks(*block));
    if marks != 0 {
        return Some(marks.trailing_zeros() as usize);
    }
    special_further(bytes)
}

#[inline(never)]
fn special_further(bytes: &[u8]) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<16>();
    for (number, block) in blocks.iter().enumerate() {
        let marks = marks(*block);
        if marks != 0 {
            return Some(number * 16 + marks.trailing_zeros() as usize);
        }
    }
    let place = rest.iter().copied().position(is_special)?;
    Some(blocks.len() * 16 + place)
}

/// Tells of all of them, in their order.
#[inline]
pub(super) fn each_special(bytes: &[u8], mut tell: impl FnMut(usize)) {
    let (blocks, rest) = bytes.as_chunks::<16>();
    for (number, block) in blocks.iter().enumerate() {
        let mut marks = marks(*block);
        while marks != 0 {
            tell(number * 16 + marks.trailing_zeros() as usize);
            marks &= marks - 1;
        }
    }
    for (number, byte) in rest.iter().enumerate() {
        if is_special(*byte) {
            tell(blocks.len() * 16 + number);
        }
    }
}

/// A bit for each byte that is special, from the lowest.
#[inline]
fn marks(block: [u8; 16]) -> u32 {
    let bytes = u8x16::new(block);
    let control = bytes.simd_eq(bytes.min(u8x16::splat(LAST_CONTROL)));
    let mark = bytes.simd_eq(u8x16::splat(b'"'));
    let backslash = bytes.simd_eq(u8x16::splat(b'\\'));
    (control | mark | backslash).to_bitmask()
}
