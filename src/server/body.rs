//! Bodies that are longer than memory should hold, and the headers with which any exact bytes are given.
//!
//! Rests on `ops::delivery`. Invariants: a piece is read when the connection has taken the one before, so a slow client
//! costs one piece and no thread; what lies in memory as a whole and is long has taken room there; an error on the way
//! breaks the connection off, so that no client takes a part for the whole.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;

use super::app::{Shared, Taken, job};
use super::problem::Problem;
use super::range::{Asked, Part, part};
use crate::object::{Find as _, Kind, ObjectId, RootId};
use crate::ops::OpError;
use crate::ops::delivery::jsonl::Cursor;
use crate::store::Store;

/// How much of a file is read at a time.
const PIECE_BYTES: u64 = 128 << 10;

/// The BLAKE3 digest of the whole, in hexadecimal digits.
pub const BLAKE3: HeaderName = HeaderName::from_static("distill-blake3");
/// The snapshot that the rows are of.
pub const ROOT: HeaderName = HeaderName::from_static("distill-root");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// Exact bytes, as far as they are known before any is read.
#[derive(Clone, Debug)]
pub struct Whole {
    /// Quoted: changes exactly when the bytes do.
    pub etag: String,
    /// How many.
    pub bytes: u64,
    /// Their media type.
    pub media_type: &'static str,
    /// BLAKE3 in hexadecimal digits.
    pub blake3: Option<String>,
    /// SHA-256 in hexadecimal digits.
    pub sha256: Option<String>,
    /// The snapshot.
    pub root: Option<RootId>,
    /// The name under which a browser saves them.
    pub file_name: Option<String>,
}

/// Where the bytes are.
pub enum Source {
    /// In memory.
    Memory(Bytes),
    /// In a file.
    File(PathBuf),
    /// In the rows of a snapshot.
    Rows(RootId),
}

/// The answer that gives `whole`, or the part of it that the client asks for.
pub async fn give(app: &Shared, asked: &Asked, whole: Whole, from: Source) -> Result<Response, Problem> {
    let mut headers = headers(&whole);
    let (status, start, len) = match part(asked, &whole.etag, whole.bytes) {
        Part::Known => return Ok((StatusCode::NOT_MODIFIED, headers).into_response()),
        Part::Other => {
            let message = "there is another version than the one that the request is for";
            return Err(Problem::new(StatusCode::PRECONDITION_FAILED, message, "leave out `If-Match`"));
        }
        Part::Beyond => {
            let message = format!("what was asked for lies beyond the {} bytes that there are", whole.bytes);
            let mut response =
                Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, message, "ask for less").into_response();
            put(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{}", whole.bytes));
            return Ok(response);
        }
        Part::Whole => (StatusCode::OK, 0, whole.bytes),
        Part::Bytes { start, len } => {
            let range = format!("bytes {start}-{}/{}", start + len - 1, whole.bytes);
            put(&mut headers, header::CONTENT_RANGE, &range);
            (StatusCode::PARTIAL_CONTENT, start, len)
        }
    };
    put(&mut headers, header::CONTENT_LENGTH, &len.to_string());
    let body = match from {
        Source::Memory(bytes) => {
            let end = usize::try_from(start + len).unwrap_or(usize::MAX).min(bytes.len());
            Body::from(bytes.slice(usize::try_from(start).unwrap_or(end).min(end)..end))
        }
        Source::File(path) => file(app, path, start, len).await?,
        Source::Rows(root) => rows(app, root, start, len).await?,
    };
    Ok((status, headers, body).into_response())
}

/// Bytes in memory, with the room that they have taken there.
pub struct Held<T> {
    bytes: T,
    _room: Option<Taken>,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// Bytes that keep their room until the connection has taken them.
pub fn held<T: AsRef<[u8]> + Send + 'static>(bytes: T, room: Option<Taken>) -> Bytes {
    Bytes::from_owner(Held { bytes, _room: room })
}

/// Says of an answer that its bytes have room already.
#[derive(Clone, Copy, Debug)]
pub struct HasRoom;

/// An answer that lies in memory as a whole, if it is short or there is room for it.
pub fn with_room(app: &Shared, response: Response) -> Response {
    let Some(bytes) = response.body().size_hint().exact() else { return response };
    app.metrics.sent_bytes.inc_by(bytes);
    if bytes <= app.limits.held_bytes || response.extensions().get::<HasRoom>().is_some() {
        return response;
    }
    let Some(room) = app.answers.now(bytes) else { return Problem::busy("the answer").into_response() };
    let (mut parts, body) = response.into_parts();
    parts.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(bytes));
    let pieces = body.into_data_stream().map(move |piece| {
        // The room is the body's as long as it lives.
        let _ = &room;
        piece
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

fn headers(whole: &Whole) -> HeaderMap {
    let mut headers = HeaderMap::new();
    put(&mut headers, header::ETAG, &whole.etag);
    put(&mut headers, header::CACHE_CONTROL, "public, max-age=31536000, immutable");
    put(&mut headers, header::ACCEPT_RANGES, "bytes");
    put(&mut headers, header::CONTENT_TYPE, whole.media_type);
    if let Some(blake3) = &whole.blake3 {
        put(&mut headers, BLAKE3, blake3);
    }
    if let Some(digest) = whole.sha256.as_ref().and_then(|sha256| hex::decode(sha256).ok()) {
        put(&mut headers, REPR_DIGEST, &format!("sha-256=:{}:", STANDARD.encode(digest)));
    }
    if let Some(root) = whole.root {
        put(&mut headers, ROOT, &root.to_string());
    }
    if let Some(name) = &whole.file_name {
        put(&mut headers, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    }
    headers
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// What is left to give of something.
struct Rest<T> {
    from: T,
    left: u64,
    until: Instant,
}

impl<T> Rest<T> {
    fn new(app: &Shared, from: T, left: u64) -> Self {
        Self { from, left, until: Instant::now() + app.limits.transfer_max }
    }

    /// Takes so many bytes off what is left.
    fn cut(&mut self, piece: &mut Vec<u8>) {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len());
        piece.truncate(len);
        self.left -= len as u64;
    }

    fn in_time(&self) -> Result<(), Cut> {
        if Instant::now() < self.until { Ok(()) } else { Err(Cut("the answer took too long".to_owned())) }
    }
}

/// Why an answer ends before its end; the client sees a connection that broke.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cut(String);

async fn rows(app: &Shared, root: RootId, start: u64, len: u64) -> Result<Body, Problem> {
    let cursor = job(app, move |app| Ok(Cursor::at(app.repo.store(), root, start)?)).await?;
    let rest = Rest::new(app, cursor, len);
    let app = Arc::clone(app);
    Ok(Body::from_stream(try_unfold(rest, move |rest| {
        let app = Arc::clone(&app);
        async move {
            if rest.left == 0 {
                return Ok(None);
            }
            rest.in_time()?;
            let (piece, cursor) = read(&app, move |app| {
                let mut cursor = rest.from;
                let piece = cursor.next(app.repo.store())?;
                Ok((piece, cursor))
            })
            .await?;
            let mut piece = piece.ok_or_else(|| Cut("the rows end before their length".to_owned()))?;
            let mut rest = Rest { from: cursor, left: rest.left, until: rest.until };
            rest.cut(&mut piece);
            app.metrics.sent_bytes.inc_by(piece.len() as u64);
            Ok::<_, Cut>(Some((Bytes::from(piece), rest)))
        }
    })))
}

async fn file(app: &Shared, path: PathBuf, start: u64, len: u64) -> Result<Body, Problem> {
    let file = job(app, move |_| {
        let opened = File::open(&path).map_err(|e| OpError::io("read", &path, &e))?;
        Ok(Arc::new(opened))
    })
    .await?;
    let rest = Rest::new(app, (file, start), len);
    let app = Arc::clone(app);
    Ok(Body::from_stream(try_unfold(rest, move |mut rest| {
        let app = Arc::clone(&app);
        async move {
            if rest.left == 0 {
                return Ok(None);
            }
            rest.in_time()?;
            let (file, at) = (Arc::clone(&rest.from.0), rest.from.1);
            let wanted = usize::try_from(rest.left.min(PIECE_BYTES)).unwrap_or(0);
            let mut piece = read(&app, move |_| {
                let mut piece = vec![0; wanted];
                let taken = file
                    .read_at(&mut piece, at)
                    .map_err(|e| OpError::io("read", std::path::Path::new("a file that was made"), &e))?;
                piece.truncate(taken);
                Ok(piece)
            })
            .await?;
            if piece.is_empty() {
                return Err(Cut("the file ends before its length".to_owned()));
            }
            rest.from.1 += piece.len() as u64;
            rest.cut(&mut piece);
            app.metrics.sent_bytes.inc_by(piece.len() as u64);
            Ok::<_, Cut>(Some((Bytes::from(piece), rest)))
        }
    })))
}

/// Reads a piece; what fails is told to the server's log, for the client can only see the connection break.
async fn read<T: Send + 'static>(
    app: &Shared,
    work: impl FnOnce(&Shared) -> Result<T, OpError> + Send + 'static,
) -> Result<T, Cut> {
    job(app, |app| Ok(work(app)?)).await.map_err(|problem| broken_off(app, problem))
}

fn broken_off(app: &Shared, problem: Problem) -> Cut {
    app.note(format!("An answer was broken off: {}", problem.error.message));
    Cut(problem.error.message)
}

/// Objects one after another, each in a frame: what it is, its length, its bytes. An id that the store has not is a frame too.
///
/// # Errors
/// What fails before the first piece is there; later the connection breaks.
pub async fn frames(app: &Shared, ids: Vec<ObjectId>) -> Result<Body, Problem> {
    let ids = Arc::new(ids);
    let until = Instant::now() + app.limits.transfer_max;
    let first = next_frames(app, &ids, 0).await?;
    let begun = first.as_ref().map_or(0, |(_, at)| *at);
    let app = Arc::clone(app);
    let rest = try_unfold(begun, move |at| {
        let (app, ids) = (Arc::clone(&app), Arc::clone(&ids));
        async move {
            if Instant::now() >= until {
                return Err(Cut("the answer took too long".to_owned()));
            }
            next_frames(&app, &ids, at).await.map_err(|problem| broken_off(&app, problem))
        }
    });
    let first = futures_util::stream::iter(first.map(|(piece, _)| Ok(piece)));
    Ok(Body::from_stream(first.chain(rest)))
}

/// The frames of the ids from `at` on, as many as make a piece, and which id is the next.
async fn next_frames(
    app: &Shared,
    ids: &Arc<Vec<ObjectId>>,
    at: usize,
) -> Result<Option<(Bytes, usize)>, Problem> {
    if at >= ids.len() {
        return Ok(None);
    }
    let all = Arc::clone(ids);
    let (piece, next, long) = job(app, move |app| {
        let store = app.fresh()?.store();
        let (mut piece, mut next) = (Vec::new(), at);
        for id in &all[at..] {
            let len = store.object_len(id).map_err(OpError::from)?;
            if len.is_some_and(|len| len > app.limits.held_bytes) {
                return Ok((piece, next, len));
            }
            frame(store, id, &mut piece)?;
            next += 1;
            if piece.len() as u64 >= PIECE_BYTES {
                break;
            }
        }
        Ok((piece, next, None))
    })
    .await?;
    let (bytes, next) = match long {
        Some(len) if piece.is_empty() => {
            let room = app.answers.soon(len).await;
            let id = ids[at];
            let piece = job(app, move |app| {
                let mut piece = Vec::new();
                frame(app.repo.store(), &id, &mut piece)?;
                Ok(piece)
            })
            .await?;
            (held(piece, room), at + 1)
        }
        _ => (Bytes::from(piece), next),
    };
    app.metrics.sent_bytes.inc_by(bytes.len() as u64);
    Ok(Some((bytes, next)))
}

fn frame(store: &Store, id: &ObjectId, out: &mut Vec<u8>) -> Result<(), OpError> {
    match store.try_find(id)? {
        Some(bytes) => {
            let kind = store.kind_of(id)?.unwrap_or(Kind::Data);
            out.reserve(9 + bytes.len());
            out.push(u8::from(kind == Kind::Node));
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(&bytes);
        }
        None => {
            out.push(255);
            out.extend_from_slice(&[0; 8]);
        }
    }
    Ok(())
}
