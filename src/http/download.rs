//! Large files: streamed to disk, taken up again where they were cut off, and kept only when they are what was meant.

use super::{Http, HttpError, Request, Retry, Url, body::broken, error, retry};
use crate::{digest::hex, duration, fault};
use aws_lc_rs::digest::{Context, SHA256, SHA512};
use reqwest::{Response, StatusCode, header};
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};
use thiserror::Error;
use tokio::{io::AsyncWriteExt, time::Instant};

/// A file to be had from somewhere. Two at once to the same place are not foreseen: take a lock.
#[derive(Clone, Debug)]
pub struct Download {
    /// From where.
    pub url: Url,
    /// To where; the folder exists. What is unfinished stands beside it, as `NAME.part`.
    pub to: PathBuf,
    /// What it must be.
    pub sum: Option<Sum>,
}

/// The digest of a file, in lowercase hex.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sum {
    /// SHA-256.
    Sha256(String),
    /// SHA-512.
    Sha512(String),
}

impl Sum {
    /// Reads 64 or 128 hexadecimal digits, with `sha256:` or `sha512:` before them or not.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let (kind, digits) = text.split_once(':').map_or((None, text.as_str()), |(kind, rest)| (Some(kind), rest));
        let sum = match (kind, digits.len()) {
            (None | Some("sha256"), 64) => Self::Sha256(digits.to_owned()),
            (None | Some("sha512"), 128) => Self::Sha512(digits.to_owned()),
            _ => return None,
        };
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(sum)
    }

    /// Its digits.
    #[must_use]
    pub fn digits(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::Sha512(digits) => digits,
        }
    }

    /// The same of a file. Reads all of it: call it where waiting is allowed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_file(&self, path: &Path) -> io::Result<Self> {
        let mut context = Context::new(if matches!(self, Self::Sha256(_)) { &SHA256 } else { &SHA512 });
        let mut file = fs::File::open(path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                n => context.update(&buffer[..n]),
            }
        }
        let digits = hex(context.finish().as_ref());
        Ok(if matches!(self, Self::Sha256(_)) { Self::Sha256(digits) } else { Self::Sha512(digits) })
    }
}

/// Why there is no file.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An answer without the file.
    #[error("`{host}` answers {status} for {path}")]
    Refused {
        /// Who.
        host: String,
        /// What.
        status: u16,
        /// For which file.
        path: String,
    },
    /// It cannot be written here.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was being done, as `writing`.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// What came is not what was meant; it was removed.
    #[error("what `{host}` sent for {path} is not what was asked for: its digest is {found}, not {wanted}")]
    Wrong {
        /// Who.
        host: String,
        /// For which file.
        path: String,
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },
}

impl DownloadError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Http(e) => e.help(),
            Self::Refused { .. } => "see that the address is right and that it needs no login".to_owned(),
            Self::File { .. } => "make room or correct the permissions there, then try again".to_owned(),
            Self::Wrong { .. } => "correct the checksum, or find out who changed the file; do not use it".to_owned(),
        }
    }
}

/// How long a server may send nothing.
const SILENCE: Duration = Duration::from_mins(1);
/// How often in a row nothing at all may come.
const TRIES: u32 = 6;

impl Http {
    /// Fetches a file. What an earlier call has left unfinished is used if the server still has the same.
    ///
    /// # Errors
    /// When it cannot be had, written, or is not what was meant.
    pub async fn download(
        &self,
        what: &Download,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<(), DownloadError> {
        let mut part = Part::of(what);
        loop {
            let resumed = self.fill(&mut part, progress).await?;
            let Some(wanted) = &what.sum else { break };
            let found = part.sum(wanted.clone()).await?;
            if found == *wanted {
                break;
            }
            part.forget()?;
            // Two files may have been put together, whatever the server said.
            if !resumed {
                let (host, path) = (error::host(&what.url), what.url.path().to_owned());
                let (wanted, found) = (wanted.digits().to_owned(), found.digits().to_owned());
                return Err(DownloadError::Wrong { host, path, wanted, found });
            }
        }
        part.finish(&what.to)
    }

    /// Gets all of it into the unfinished file; says whether a part of it is of an earlier answer.
    async fn fill(&self, part: &mut Part, progress: &(dyn Fn(&str) + Send + Sync)) -> Result<bool, DownloadError> {
        let (mut tries, mut resumed) = (0, false);
        let retry = Retry::default();
        loop {
            let before = part.size();
            let e = match self.fetch(part, &mut resumed, progress).await {
                Ok(()) => return Ok(resumed),
                Err(DownloadError::Http(e)) => e,
                Err(e) => return Err(e),
            };
            tries = if part.size() > before { 1 } else { tries + 1 };
            let hopeless = matches!(
                e,
                HttpError::Unsendable { .. }
                    | HttpError::Unprepared { .. }
                    | HttpError::NotSent { distrusted: true, .. }
            );
            if hopeless || tries >= TRIES {
                return Err(e.into());
            }
            progress(&format!("{}: {e}; trying again", part.name));
            tokio::time::sleep(retry.wait(tries, retry::chance())).await;
        }
    }

    /// One answer, as much of it as there is.
    async fn fetch(
        &self,
        part: &mut Part,
        resumed: &mut bool,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<(), DownloadError> {
        let (request, have) = part.request();
        let open = tokio::time::timeout(SILENCE, self.open(&request)).await;
        let mut response = open.unwrap_or_else(|_| Err(request.lost(silent())))?;
        let have = match response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(&response) == Some(have) => have,
            StatusCode::OK => {
                part.begin(&response)?;
                0
            }
            status if status == StatusCode::RANGE_NOT_SATISFIABLE || status == StatusCode::PARTIAL_CONTENT => {
                part.forget()?;
                return Err(request.lost("it has changed meanwhile".to_owned()).into());
            }
            status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                return Err(request.lost(format!("it says {}", status.as_u16())).into());
            }
            status => {
                let (host, path) = (error::host(&request.url), request.url.path().to_owned());
                return Err(DownloadError::Refused { host, status: status.as_u16(), path });
            }
        };
        *resumed = have > 0;
        let total = response.content_length().map(|rest| have + rest);
        let mut file = part.open().await?;
        let (mut done, mut told) = (have, None::<Instant>);
        let cut = loop {
            let chunk = match tokio::time::timeout(SILENCE, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break None,
                Ok(Err(e)) => break Some(request.lost(broken(&e))),
                Err(_) => break Some(request.lost(silent())),
            };
            file.write_all(&chunk).await.map_err(|e| part.failed("writing", e))?;
            done += u64::try_from(chunk.len()).expect("no chunk is that long");
            if told.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                progress(&format!("downloading {}: {}", part.name, share(done, total)));
                told = Some(Instant::now());
            }
        };
        // What came is kept also when the rest did not.
        file.flush().await.map_err(|e| part.failed("writing", e))?;
        file.sync_all().await.map_err(|e| part.failed("writing", e))?;
        cut.map_or(Ok(()), |e| Err(e.into()))
    }
}

fn silent() -> String {
    format!("nothing came for {}", duration::text(SILENCE))
}

/// `120 of 340 MiB`.
fn share(done: u64, total: Option<u64>) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    total.map_or_else(|| format!("{} MiB", mib(done)), |total| format!("{} of {} MiB", mib(done), mib(total)))
}

/// Where a partial answer begins, from `Content-Range: bytes 100-199/200`.
fn begins_at(response: &Response) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// What is unfinished, and beside it a note of what it is a part of.
struct Part {
    url: Url,
    name: String,
    path: PathBuf,
    note: PathBuf,
}

impl Part {
    fn of(what: &Download) -> Self {
        let beside = |ending: &str| {
            let mut path = what.to.clone().into_os_string();
            path.push(ending);
            PathBuf::from(path)
        };
        let name = what.to.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { url: what.url.clone(), name, path: beside(".part"), note: beside(".part.of") }
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> DownloadError {
        DownloadError::File { doing, path: self.path.clone(), source }
    }

    fn size(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |data| data.len())
    }

    /// Asks for the rest, if it is known of what; and how much there is already.
    fn request(&self) -> (Request, u64) {
        let request = Request::get(self.url.clone()).header("accept-encoding", "identity");
        let note = fs::read_to_string(&self.note).unwrap_or_default();
        let version = note.strip_prefix(self.url.as_str()).and_then(|rest| rest.strip_prefix('\n'));
        match (self.size(), version) {
            (have, Some(version)) if have > 0 && !version.is_empty() => {
                (request.header("range", &format!("bytes={have}-")).header("if-range", version), have)
            }
            _ => (request, 0),
        }
    }

    /// Starts over, with what the server calls this version of the file.
    fn begin(&self, response: &Response) -> Result<(), DownloadError> {
        self.forget()?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        // A weak tag does not promise the same bytes.
        let tag = header(header::ETAG).filter(|tag| !tag.starts_with("W/"));
        let Some(version) = tag.or_else(|| header(header::LAST_MODIFIED)) else { return Ok(()) };
        let write = || {
            fault::point("http.note", &self.note)?;
            let mut file = fs::File::create(&self.note)?;
            io::Write::write_all(&mut file, format!("{}\n{version}", self.url).as_bytes())
        };
        write().map_err(|e| self.failed("writing beside", e))
    }

    async fn open(&self) -> Result<tokio::fs::File, DownloadError> {
        let point = fault::point("http.write", &self.path);
        point.map_err(|e| self.failed("writing", e))?;
        let file = tokio::fs::OpenOptions::new().create(true).append(true).open(&self.path).await;
        file.map_err(|e| self.failed("writing", e))
    }

    async fn sum(&self, like: Sum) -> Result<Sum, DownloadError> {
        let path = self.path.clone();
        let sum =
            tokio::task::spawn_blocking(move || like.of_file(&path)).await.unwrap_or_else(|e| Err(io::Error::other(e)));
        sum.map_err(|e| self.failed("reading", e))
    }

    /// The content first: a note without it is of nothing.
    fn forget(&self) -> Result<(), DownloadError> {
        for path in [&self.path, &self.note] {
            match fault::point("http.remove", path).and_then(|()| fs::remove_file(path)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(self.failed("removing", e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives it its name.
    fn finish(&self, to: &Path) -> Result<(), DownloadError> {
        let rename = || {
            fault::point("http.rename", to)?;
            // An empty file has had no chunk.
            fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
            fs::rename(&self.path, to)?;
            fs::File::open(to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
                .sync_all()
        };
        rename().map_err(|e| self.failed("naming", e))?;
        self.forget()
    }
}
