//! `prism proxy`: holds each request to the provider's own document, and each answer of the emulator too.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The npm package, and the version that is known to work.
const PACKAGE: &str = "@stoplight/prism-cli@5";

/// It, between us and an emulator. Dropped, it ends.
pub(crate) struct Prism {
    pub(crate) address: SocketAddr,
    child: Child,
    log: PathBuf,
    _dir: tempfile::TempDir,
}

/// What of the provider's document prism is given: with all of it, its start costs six seconds of a processor. What is
/// asked of another path is refused.
const PATHS: [&str; 8] =
    ["/v2/account", "/v2/actions", "/v2/droplets", "/v2/images", "/v2/regions", "/v2/sizes", "/v2/tags", "/v2/vpcs"];

/// Where the provider's document is: beside the repository, or where the environment says.
fn document() -> Result<PathBuf, String> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/lab/specs/digitalocean.json");
    let path = std::env::var_os("MACHINE_LAB_SPECS").map_or(beside, |dir| Path::new(&dir).join("digitalocean.json"));
    if path.is_file() { Ok(path) } else { Err(format!("{} is not there", path.display())) }
}

/// Writes the part of the provider's document that prism is given.
fn excerpt(of: &Path, to: &Path) -> Result<(), String> {
    let text = fs::read(of).map_err(|e| format!("{}: {e}", of.display()))?;
    let mut document: serde_json::Value =
        serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", of.display()))?;
    let paths = document["paths"].as_object_mut().ok_or_else(|| format!("{} has no paths", of.display()))?;
    paths.retain(|path, _| PATHS.iter().any(|wanted| path.starts_with(wanted)));
    fs::write(to, document.to_string()).map_err(|e| format!("{}: {e}", to.display()))
}

fn cache() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    cache.join("machine-lab/prism")
}

/// The program, installed into a cache when it is not there.
fn program() -> Result<PathBuf, String> {
    let dir = cache();
    let path = dir.join("node_modules/.bin/prism");
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let lock = fs::File::create(dir.join(".lock")).map_err(|e| e.to_string())?;
    lock.lock().map_err(|e| e.to_string())?;
    if path.exists() {
        return Ok(path);
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-fund", "--no-audit", "--loglevel=error", "--prefix"]).arg(&dir).arg(PACKAGE);
    let out = npm.stdin(Stdio::null()).output().map_err(|e| format!("npm: {e}"))?;
    if out.status.success() { Ok(path) } else { Err(format!("npm: {}", String::from_utf8_lossy(&out.stderr))) }
}

impl Prism {
    /// Before the emulator at this address; or why there is none.
    pub(crate) fn before(emulator: SocketAddr) -> Result<Self, String> {
        let (document, program) = (document()?, program()?);
        let dir = tempfile::tempdir().unwrap();
        let (log, excerpted) = (dir.path().join("log"), dir.path().join("document.json"));
        excerpt(&document, &excerpted)?;
        // Asked for and given back: it is not taken in between.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = fs::File::create(&log).unwrap();
        let child = Command::new(program)
            .args(["proxy", "--errors", "-h", "127.0.0.1", "-p", &port.to_string()])
            .arg(excerpted)
            .arg(format!("http://{emulator}"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .map_err(|e| format!("prism: {e}"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut prism = Self { address, child, log, _dir: dir };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = prism.child.try_wait().unwrap();
            let late = begun.elapsed() > Duration::from_mins(5);
            assert!(ended.is_none() && !late, "prism does not start: {}", prism.said());
            thread::sleep(Duration::from_millis(100));
        }
        Ok(prism)
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
