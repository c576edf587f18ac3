//! The Unix socket the gateways connect to.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// A bound socket. Its file goes away with it.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Binds the socket, readable and writable by the owner only. A file left by a process that is
    /// gone is removed; one that somebody serves is left alone.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when the path is served or is not a socket; what the system says else.
    pub(super) async fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(meta) if !meta.file_type().is_socket() => {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "the path of the link socket is another file",
                ));
            }
            Ok(_) => {
                if UnixStream::connect(path).await.is_ok() {
                    return Err(io::Error::new(
                        io::ErrorKind::AddrInUse,
                        "another control serves the link socket",
                    ));
                }
                std::fs::remove_file(path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // Bound under another name first: the path appears only with its final permissions.
        let mut staging = path.as_os_str().to_owned();
        staging.push(format!(".{}", std::process::id()));
        let staging = PathBuf::from(staging);
        let _ = std::fs::remove_file(&staging);
        let listener = UnixListener::bind(&staging)?;
        std::fs::set_permissions(&staging, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&staging, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_a_served_one_and_a_file_are_not() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("link.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("stale"));
        let socket = Socket::bind(&path).await.expect("replaced");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            Socket::bind(&path).await.expect_err("served").kind(),
            io::ErrorKind::AddrInUse
        );
        drop(socket);
        assert!(!path.exists());
        std::fs::write(&path, "precious").expect("file");
        assert_eq!(
            Socket::bind(&path).await.expect_err("a file").kind(),
            io::ErrorKind::AddrInUse
        );
        assert_eq!(std::fs::read(&path).expect("kept"), b"precious");
    }
}
