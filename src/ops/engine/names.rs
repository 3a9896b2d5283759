//! The keys of all records of a pass, by number: asked for where a later row repeats an earlier one.
//!
//! Rests on zstd. Keys of neighbours begin alike, so that they are kept packed, some kilobytes at a time; few are ever
//! asked for. Invariant: a name comes back as it was given.

use std::io;

/// Text that is packed at once, in bytes.
const PAGE_BYTES: usize = 16 << 10;
const LEVEL: i32 = 1;

/// Record keys, each once, in the order in which they came. About a quarter of their length in memory.
#[derive(Default)]
pub(super) struct Names {
    pages: Vec<Page>,
    /// The names since the last page, each behind a line end.
    open: String,
    /// How many are in `open`, and before it.
    opened: u32,
    before: u32,
    /// The page that was asked for last, as text.
    read: Option<(usize, String)>,
    packer: Option<zstd::bulk::Compressor<'static>>,
}

/// Names that were packed.
struct Page {
    /// The number of the first.
    first: u32,
    len: u32,
    packed: Box<[u8]>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("names", &(self.before + self.opened)).finish_non_exhaustive()
    }
}

impl Names {
    /// Takes a name in, which holds no control character; returns its number.
    ///
    /// # Errors
    /// When packing runs out of memory.
    pub(super) fn add(&mut self, name: &str) -> io::Result<u32> {
        if self.open.len() + name.len() >= PAGE_BYTES {
            self.pack()?;
        }
        self.open.push_str(name);
        self.open.push('\n');
        let number = self.before + self.opened;
        self.opened += 1;
        Ok(number)
    }

    fn pack(&mut self) -> io::Result<()> {
        let packer = match &mut self.packer {
            Some(packer) => packer,
            none => none.insert(zstd::bulk::Compressor::new(LEVEL)?),
        };
        let packed = packer.compress(self.open.as_bytes())?.into_boxed_slice();
        let len = u32::try_from(self.open.len()).map_err(io::Error::other)?;
        self.pages.push(Page { first: self.before, len, packed });
        self.before =
            self.before.checked_add(self.opened).ok_or_else(|| io::Error::other("too many records"))?;
        self.opened = 0;
        self.open.clear();
        Ok(())
    }

    /// The name of that number, which [`Self::add`] gave.
    ///
    /// # Errors
    /// When memory does not hold what was put there.
    pub(super) fn get(&mut self, number: u32) -> io::Result<String> {
        let lost = || io::Error::other("a record's key was lost in memory");
        let (text, first) = if number >= self.before {
            (self.open.as_str(), self.before)
        } else {
            let at = self.pages.partition_point(|page| page.first <= number).saturating_sub(1);
            let page = self.pages.get(at).ok_or_else(lost)?;
            let text = match self.read.take() {
                Some((read, text)) if read == at => text,
                _ => {
                    let bytes = zstd::bulk::decompress(&page.packed, page.len as usize)?;
                    String::from_utf8(bytes).map_err(io::Error::other)?
                }
            };
            (self.read.insert((at, text)).1.as_str(), page.first)
        };
        Ok(text.lines().nth((number - first) as usize).ok_or_else(lost)?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_pages_and_from_the_open_one() {
        let mut names = Names::default();
        let name = |n: u32| format!("2026/02/{:02}/stream/{}", n % 28 + 1, "x".repeat(n as usize % 90));
        for n in 0..5_000 {
            assert_eq!(names.add(&name(n)).expect("packed"), n);
            // The newest, an old one, and its neighbour on the page that was read.
            for asked in [n, n / 2, (n / 2).saturating_sub(1)] {
                assert_eq!(names.get(asked).expect("there"), name(asked));
            }
        }
        assert!(names.pages.len() > 10);
    }
}
