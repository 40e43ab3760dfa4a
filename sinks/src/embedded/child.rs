//! The child process: this very program, started again, that turns into a ClickHouse server.
//!
//! It opens the library, calls its `clickhouse-local` with a script that opens the HTTP port and then sleeps for ever,
//! and ends when its standard input closes. Nobody writes to that input: it closes when the parent closes it or ends
//! in any way, so no server outlives its parent. Leaving is by `_exit`, because the library's own threads are running
//! and its destructors are not made for that; what ClickHouse acknowledged is in its files by then.
//!
//! State: none of ours; the server's memory is bounded by the configuration file the parent wrote.

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::{Error, Result};

/// The hidden subcommand under which the program calls [`run_child`].
pub const CHILD_COMMAND: &str = "clickhouse-child";

/// What the child is told on its command line. No secret is among it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildArgs {
    /// `libchdb.so`.
    pub library: PathBuf,
    /// The server's folder.
    pub path: PathBuf,
    /// The server's configuration file.
    pub config: PathBuf,
    /// The HTTP port on 127.0.0.1.
    pub http_port: u16,
}

impl ChildArgs {
    /// The command line, from the subcommand on.
    pub fn command_line(&self) -> Vec<OsString> {
        [
            CHILD_COMMAND.into(),
            "--library".into(),
            self.library.clone().into(),
            "--path".into(),
            self.path.clone().into(),
            "--config".into(),
            self.config.clone().into(),
            "--http-port".into(),
            self.http_port.to_string().into(),
        ]
        .into()
    }

    /// Reads what follows the subcommand: each of `--library`, `--path`, `--config` and `--http-port` with its value.
    ///
    /// # Errors
    /// A user error that names the option which is unknown, missing or malformed.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let (mut library, mut path, mut config, mut http_port) = (None, None, None, None);
        let mut args = args.into_iter();
        while let Some(option) = args.next() {
            let name = option.to_string_lossy().into_owned();
            let value =
                args.next().ok_or_else(|| Error::user(format!("{CHILD_COMMAND}: {name} has no value")))?;
            match name.as_str() {
                "--library" => library = Some(PathBuf::from(value)),
                "--path" => path = Some(PathBuf::from(value)),
                "--config" => config = Some(PathBuf::from(value)),
                "--http-port" => {
                    let text = value.to_string_lossy();
                    let port = text.parse::<u16>().map_err(|_| {
                        Error::user(format!("{CHILD_COMMAND}: --http-port must be a port, not '{text}'"))
                    })?;
                    http_port = Some(port);
                }
                _ => return Err(Error::user(format!("{CHILD_COMMAND}: unknown option '{name}'"))),
            }
        }
        let missing = |name: &str| Error::user(format!("{CHILD_COMMAND}: {name} is missing"));
        Ok(Self {
            library: library.ok_or_else(|| missing("--library"))?,
            path: path.ok_or_else(|| missing("--path"))?,
            config: config.ok_or_else(|| missing("--config"))?,
            http_port: http_port.ok_or_else(|| missing("--http-port"))?,
        })
    }
}

/// The script of the server: listen, then sleep for ever in short naps.
const SCRIPT: &CStr = c"SYSTEM START LISTEN HTTP; SELECT sleepEachRow(1) FROM system.numbers FORMAT Null \
    SETTINGS function_sleep_max_microseconds_per_block = 100000000000, max_block_size = 1, max_threads = 1";

/// Turns this process into a ClickHouse server until standard input closes. Exit codes: 0 input closed, 1 the server
/// ended by itself or could not start; the reason is then on standard error.
pub fn run_child(args: &ChildArgs) -> ! {
    // The parent decides when the server ends. A Ctrl-C or a stop of the whole service reaches the child too, and must
    // not take the database away before the sink has written its last cells.
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: ignoring a signal installs no handler and touches no memory of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    std::thread::spawn(|| {
        let mut ignored = [0_u8; 64];
        while matches!(std::io::stdin().read(&mut ignored), Ok(n) if n > 0) {}
        leave(0);
    });
    let reason = match serve(args) {
        Ok(()) => "the server ended by itself".to_owned(),
        Err(error) => error.to_string(),
    };
    // When standard error is closed too, there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{CHILD_COMMAND}: {reason}");
    leave(1)
}

fn leave(code: c_int) -> ! {
    // SAFETY: `_exit` ends the process at once and runs nothing.
    unsafe { libc::_exit(code) }
}

/// Runs the server; comes back only when it ends.
fn serve(args: &ChildArgs) -> Result<()> {
    let option = |name: &[u8], value: &Path| -> Result<CString> {
        CString::new([name, value.as_os_str().as_bytes()].concat())
            .map_err(|_| Error::user(format!("a path may hold no zero byte: {}", value.display())))
    };
    let argv = [
        c"clickhouse".to_owned(),
        option(b"--path=", &args.path)?,
        option(b"--config-file=", &args.config)?,
        c"--listen_host=127.0.0.1".to_owned(),
        CString::new(format!("--http_port={}", args.http_port))
            .map_err(|_| Error::internal("a port is digits"))?,
        c"--query".to_owned(),
        SCRIPT.to_owned(),
    ];
    let mut pointers: Vec<*mut c_char> = argv.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
    pointers.push(std::ptr::null_mut());
    let argc = c_int::try_from(argv.len()).map_err(|_| Error::internal("few arguments fit a C int"))?;

    type SetSignalHandlers = unsafe extern "C" fn(c_int);
    type QueryCmdline = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
    type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

    let broken = |what: &str, e: libloading::Error| {
        Error::refused(format!("{} is not a usable ClickHouse library: {what}", args.library.display()))
            .caused_by(e)
    };
    // SAFETY: the file is the library our build fetched and checked; its initialisers may run. It is never unloaded
    // (the handle is forgotten): its threads outlive any scope.
    let library = std::mem::ManuallyDrop::new(
        unsafe { libloading::Library::new(&args.library) }.map_err(|e| broken("it cannot be opened", e))?,
    );
    // SAFETY: names and types are those of the library's C header.
    let (set_signal_handlers, query_cmdline, result_error) = unsafe {
        (
            library
                .get::<SetSignalHandlers>(b"chdb_set_signal_handlers_enabled\0")
                .map_err(|e| broken("chdb_set_signal_handlers_enabled is missing", e))?,
            library
                .get::<QueryCmdline>(b"chdb_query_cmdline\0")
                .map_err(|e| broken("chdb_query_cmdline is missing", e))?,
            library
                .get::<ResultError>(b"chdb_result_error\0")
                .map_err(|e| broken("chdb_result_error is missing", e))?,
        )
    };
    // SAFETY: `argv` lives to the end of this function, and its array ends with a null pointer; the result is only
    // asked for its error, which is null or a C string that lives as long as the result.
    let error = unsafe {
        set_signal_handlers(0);
        let result = query_cmdline(argc, pointers.as_mut_ptr());
        if result.is_null() {
            return Err(Error::external("ClickHouse gave no result"));
        }
        let error = result_error(result);
        (!error.is_null()).then(|| CStr::from_ptr(error).to_string_lossy().into_owned())
    };
    match error {
        Some(text) => Err(Error::external(text)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read_back() {
        let args = ChildArgs {
            library: "/a b/libchdb.so".into(),
            path: "d/server".into(),
            config: "d/config.xml".into(),
            http_port: 8123,
        };
        let line = args.command_line();
        assert_eq!(line[0], CHILD_COMMAND);
        assert_eq!(ChildArgs::parse(line.into_iter().skip(1)).unwrap(), args);
    }

    #[test]
    fn a_wrong_command_line_says_what_is_wrong() {
        let parse =
            |args: &[&str]| ChildArgs::parse(args.iter().map(OsString::from)).unwrap_err().to_string();
        assert!(parse(&["--library", "x"]).contains("--path is missing"));
        assert!(parse(&["--http-port", "99999"]).contains("not '99999'"));
        assert!(parse(&["--config"]).contains("--config has no value"));
        assert!(parse(&["--bogus", "1"]).contains("unknown option '--bogus'"));
    }
}
