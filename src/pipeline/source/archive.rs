//! Inspect's `.eval` archives, read as the JSON log that they are a packed form of.
//!
//! Rests on `zip`. An archive holds `header.json` and a file for each sample; the log is the header with the samples, in
//! the order of the archive, in its member `samples`. Invariants: header and samples are the bytes in the archive; the
//! archive and one unpacked sample are all that is held; what is no such archive is an error of reading, never an empty
//! log.

use std::io;
use std::io::Cursor;
use std::io::Read;

use zip::ZipArchive;

use super::unit::UNIT_BYTES_LIMIT;

/// What an archive begins with; a file that does not is no archive, whatever its name.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// The header of a finished log, and of one that broke off before it was written.
const HEADERS: [&str; 2] = ["header.json", "_journal/start.json"];

/// The JSON log in an archive.
pub(super) struct Log<R> {
    packed: Option<R>,
    archive: Option<ZipArchive<Cursor<Vec<u8>>>>,
    /// Indices of the samples to come, the next one last.
    samples: Vec<usize>,
    first: bool,
    piece: Cursor<Vec<u8>>,
}

impl<R: Read> Log<R> {
    pub(super) fn new(packed: R) -> Self {
        let piece = Cursor::default();
        Self { packed: Some(packed), archive: None, samples: Vec::new(), first: true, piece }
    }

    /// The next bytes of the log; `None` behind its end.
    fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(packed) = self.packed.take() {
            return self.open(packed).map(Some);
        }
        let Some(archive) = &mut self.archive else { return Ok(None) };
        let Some(index) = self.samples.pop() else {
            self.archive = None;
            return Ok(Some(b"]}".to_vec()));
        };
        let mut piece = if self.first { Vec::new() } else { b",".to_vec() };
        self.first = false;
        unpack(archive, index, &mut piece)?;
        Ok(Some(piece))
    }

    /// Reads the archive's table; gives the header up to the first sample.
    fn open(&mut self, mut packed: R) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        packed.by_ref().take(UNIT_BYTES_LIMIT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > UNIT_BYTES_LIMIT {
            return Err(io::Error::other(format!("the archive is larger than {UNIT_BYTES_LIMIT} bytes")));
        }
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(io::Error::other)?;
        let header = HEADERS.iter().find_map(|name| archive.index_for_name(name));
        let header = header.ok_or_else(|| io::Error::other("the archive holds no header.json"))?;
        let is_sample = |name: &str| {
            name.strip_prefix("samples/").is_some_and(|file| file.ends_with(".json") && !file.contains('/'))
        };
        self.samples =
            (0..archive.len()).filter(|i| archive.name_for_index(*i).is_some_and(is_sample)).collect();
        self.samples.reverse();
        let mut piece = Vec::new();
        unpack(&mut archive, header, &mut piece)?;
        let object = piece.trim_ascii();
        let Some(members) = object.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")) else {
            return Err(io::Error::other("the archive's header is no JSON object"));
        };
        let comma: &[u8] = if members.trim_ascii().is_empty() { b"" } else { b"," };
        let piece = [b"{", members, comma, b"\"samples\":["].concat();
        self.archive = Some(archive);
        Ok(piece)
    }
}

/// Appends a file of the archive to `out`; its checksum is verified.
fn unpack(archive: &mut ZipArchive<Cursor<Vec<u8>>>, index: usize, out: &mut Vec<u8>) -> io::Result<()> {
    let file = archive.by_index(index).map_err(io::Error::other)?;
    let name = file.name().to_owned();
    let size = file.take(UNIT_BYTES_LIMIT + 1).read_to_end(out)?;
    if size as u64 > UNIT_BYTES_LIMIT {
        return Err(io::Error::other(format!("{name} is larger than {UNIT_BYTES_LIMIT} bytes")));
    }
    Ok(())
}

impl<R: Read> Read for Log<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.next_piece()? {
                Some(piece) => self.piece = Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}
