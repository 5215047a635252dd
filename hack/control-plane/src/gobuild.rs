//! Builds the pinned Go programs into the cache, once.
//!
//! A directory in the cache is complete once it has its name: it is built under another name and renamed. A file lock
//! keeps two processes from building at the same time. It must not build inside the repository.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::files::tail;
use crate::pins::{self, Binary, Module};
use crate::{Error, cache, versions};

/// How often a long build reports progress.
const PROGRESS: Duration = Duration::from_secs(15);
const UNFINISHED: &str = ".building-";

/// Tells the user, even within a test: libtest captures `eprintln!`, and a first build that is silent for minutes looks
/// like a hang.
fn say(message: &str) {
    // Nobody is left to tell that standard error is closed.
    let _ = writeln!(io::stderr(), "control-plane: {message}");
}

/// The directory with the build of `modules`, if it exists.
pub(crate) fn built(modules: &[&Module]) -> Result<Option<PathBuf>, Error> {
    let directory = cache::root()?.join("tools").join(pins::key(modules));
    let mut binaries = modules.iter().flat_map(|module| module.binaries);
    Ok(binaries.all(|binary| directory.join(binary.name).is_file()).then_some(directory))
}

/// The directory with the build of `modules`; builds it if necessary.
pub(crate) fn ensure(modules: &[&Module]) -> Result<PathBuf, Error> {
    if let Some(directory) = built(modules)? {
        return Ok(directory);
    }
    let parent = cache::root()?.join("tools");
    fs::create_dir_all(&parent).map_err(Error::file("create", &parent))?;
    let _lock = lock(&parent.join(".lock"))?;
    if let Some(directory) = built(modules)? {
        return Ok(directory);
    }
    remove_unfinished(&parent)?;

    let work = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(&parent)
        .map_err(Error::file("create a directory in", &parent))?;
    let output = work.path().join("bin");
    fs::create_dir(&output).map_err(Error::file("create", &output))?;
    let (begin, count) = (Instant::now(), modules.iter().map(|module| module.binaries.len()).sum::<usize>());
    let directory = parent.join(pins::key(modules));
    say(&format!("building {count} programs with go, once, into {}", directory.display()));
    let mut number = 0;
    for module in modules {
        // A directory for each module: the second go.mod must not appear to be inside the first module.
        let source = tempfile::tempdir_in(work.path()).map_err(Error::file("create a directory in", work.path()))?;
        write_module(module, source.path())?;
        for binary in module.binaries {
            number += 1;
            let label = format!("{} ({number} of {count})", binary.name);
            build(module, binary, source.path(), &output, &label, begin)?;
        }
    }
    // A directory of this name that `built` rejected is broken.
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(Error::file("remove", &directory))?;
    }
    fs::rename(&output, &directory).map_err(Error::file("rename to", &directory))?;
    say(&format!("built in {} s", begin.elapsed().as_secs()));
    Ok(directory)
}

fn lock(path: &Path) -> Result<File, Error> {
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(Error::file("open", path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say("waiting for another process that is building");
            lock.lock().map_err(Error::file("lock", path))?;
        }
        Err(TryLockError::Error(source)) => return Err(Error::file("lock", path)(source)),
    }
    Ok(lock)
}

/// Removes the remains of killed builds. Only under the lock.
fn remove_unfinished(parent: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(parent).map_err(Error::file("read", parent))? {
        let path = entry.map_err(Error::file("read", parent))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED)) {
            fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
        }
    }
    Ok(())
}

fn write_module(module: &Module, directory: &Path) -> Result<(), Error> {
    let go_mod = match module.go_sum {
        Some(_) => Cow::Borrowed(&*module.go_mod),
        None => Cow::Owned(format!("{}{}", module.go_mod, versions::rest_of_go_mod(&module.version, directory)?)),
    };
    let files = [("go.mod", Some(&*go_mod)), ("go.sum", module.go_sum), ("main.go", module.main_go)];
    for (name, content) in files.into_iter().filter_map(|(name, content)| Some((name, content?))) {
        let path = directory.join(name);
        fs::write(&path, content).map_err(Error::file("write", &path))?;
    }
    Ok(())
}

fn build(
    module: &Module,
    binary: &Binary,
    source: &Path,
    output: &Path,
    label: &str,
    begin: Instant,
) -> Result<(), Error> {
    say(&format!("building {label}"));
    let log = source.join("go.log");
    let log_file = File::create(&log).map_err(Error::file("create", &log))?;
    let mut child = Command::new("go")
        .args(["build", if module.go_sum.is_some() { "-mod=readonly" } else { "-mod=mod" }])
        .args(["-buildvcs=false", "-trimpath", "-ldflags", &module.linker_flags(), "-o"])
        .arg(output.join(binary.name))
        .arg(binary.package)
        .current_dir(source)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env("GOOS", pins::go_os())
        .env("GOARCH", pins::go_arch())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log_file)
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::NoGo { binary: binary.name },
            _ => Error::spawn(Path::new("go"))(error),
        })?;
    let (sender, receiver) = mpsc::channel();
    // The receiver outlives this thread's only send.
    thread::spawn(move || sender.send(child.wait()));
    let status = loop {
        match receiver.recv_timeout(PROGRESS) {
            Ok(status) => break status.map_err(Error::system("wait for go"))?,
            Err(RecvTimeoutError::Timeout) => {
                say(&format!("building {label}, {} s since the beginning", begin.elapsed().as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Build { binary: binary.name, output: "nobody waits for go any more".to_owned() });
            }
        }
    };
    if status.success() { Ok(()) } else { Err(Error::Build { binary: binary.name, output: tail(&log, 30) }) }
}
