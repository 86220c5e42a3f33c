//! A command whose input and output lead to a host: `ProxyCommand` of an `ssh_config`.

use super::{Stream, io_text};
use std::{
    io,
    pin::Pin,
    process::Stdio,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// Both directions of a running command. It ends with us.
struct Proxy {
    input: ChildStdin,
    output: ChildStdout,
    /// Killed when it is dropped.
    _child: Child,
}

/// Starts `command` with a shell, as OpenSSH does: it is the user's own, from the user's own file.
pub(super) fn stream(command: &str) -> Result<Pin<Box<dyn Stream>>, String> {
    #[expect(clippy::disallowed_methods, reason = "the user's ssh_config names a command to go through")]
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("exec {command}"));
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = shell.spawn().map_err(|e| format!("ProxyCommand cannot be started: {}", io_text(&e)))?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(input), Some(output)) => Ok(Box::pin(Proxy { input, output, _child: child })),
        _ => Err("ProxyCommand has no input and output".to_owned()),
    }
}

impl AsyncRead for Proxy {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buf)
    }
}

impl AsyncWrite for Proxy {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}
