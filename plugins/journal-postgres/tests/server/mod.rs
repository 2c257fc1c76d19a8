//! A private PostgreSQL server, from the distribution's package.
//!
//! Owns its directory and its processes. It listens on a unix socket in a temporary directory and on nothing else. Where
//! no server is installed, the tests say so on the terminal and pass; with `LAMPKEEPER_REQUIRE_POSTGRES` set they fail.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Who the server's databases belong to.
const SUPERUSER: &str = "lampkeeper";
/// The one user whom the server asks for a password.
pub(crate) const USER_WITH_PASSWORD: &str = "guarded";

/// A running server; it is stopped and removed with its value.
pub(crate) struct Server {
    programs: PathBuf,
    /// Whom the server runs as, where that is not who runs the tests: it refuses to run as root.
    run_as: Option<(u32, u32)>,
    dir: tempfile::TempDir,
}

/// The server that the tests of this process share, or `None` if there is none to start.
pub(crate) fn shared() -> Option<Arc<Server>> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(private()?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// A server for one test, which may stop it.
pub(crate) fn private() -> Option<Server> {
    let Some(programs) = find_programs() else {
        let text = "SKIPPED: no PostgreSQL server in /usr/lib/postgresql (Debian's package `postgresql`); the journal \
                    in PostgreSQL was NOT tested\n";
        assert!(std::env::var_os("LAMPKEEPER_REQUIRE_POSTGRES").is_none(), "{text}");
        // Past the test harness, which keeps what passing tests print to itself.
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return None;
    };
    // Short, because the path of a socket has at most 107 bytes.
    let dir = tempfile::Builder::new().prefix("lk-pg").tempdir_in("/tmp").unwrap();
    let run_as = (fs::metadata(dir.path()).unwrap().uid() == 0).then(unprivileged_user);
    if let Some((uid, gid)) = run_as {
        chown(dir.path(), Some(uid), Some(gid)).unwrap();
    }
    let server = Server { programs, run_as, dir };
    let data = server.data_dir();
    server.run("initdb", &["-D", &data, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-sync"]);
    let rules = server.dir.path().join("data/pg_hba.conf");
    let others = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("local all {USER_WITH_PASSWORD} scram-sha-256\n{others}")).unwrap();
    server.start();
    Some(server)
}

/// The programs of the newest version that is installed.
fn find_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let programs = versions.map(|version| version.path().join("bin"));
    let complete = programs.filter(|programs| {
        ["initdb", "pg_ctl", "postgres"].iter().all(|program| programs.join(program).is_file())
    });
    complete.max_by_key(|programs| {
        let version = programs.parent().and_then(Path::file_name).and_then(|version| version.to_str());
        version.and_then(|version| version.split('.').next()?.parse::<u32>().ok())
    })
}

/// The user and group of the package, or those of nobody.
fn unprivileged_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let fields: Vec<_> = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).collect();
        let user = fields.into_iter().find(|fields| fields[0] == name)?;
        Some((user[2].parse().ok()?, user[3].parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).unwrap()
}

impl Server {
    fn data_dir(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    /// Runs one of the server's programs to its end.
    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(self.dir.path()).env_clear().stdin(Stdio::null());
        if let Some((uid, gid)) = self.run_as {
            command.uid(uid).gid(gid);
        }
        // To a file: a server that goes on would keep a pipe open.
        let output = self.dir.path().join(format!("{program}.out"));
        let file = fs::File::create(&output).unwrap();
        let status = command.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
        let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        assert!(
            status.success(),
            "{program} {arguments:?}: {status}\n{}{}",
            fs::read_to_string(output).unwrap(),
            log()
        );
    }

    /// Starts the server, and returns when it takes connections; after a crash, that is after its recovery.
    pub(crate) fn start(&self) {
        let log = self.dir.path().join("log").display().to_string();
        let options = format!("-k {} -c listen_addresses=''", self.dir.path().display());
        self.run("pg_ctl", &["-D", &self.data_dir(), "-l", &log, "-o", &options, "-w", "-t", "60", "start"]);
    }

    /// Ends all of the server's processes at once, without a word to clients, and without tidying up: a crash.
    pub(crate) fn crash(&self) {
        self.run("pg_ctl", &["-D", &self.data_dir(), "-m", "immediate", "-w", "-t", "60", "stop"]);
    }

    /// The address of the server for a user.
    pub(crate) fn url_of(&self, user: &str) -> String {
        format!("postgresql://{user}@/postgres?host={}", self.dir.path().display())
    }

    /// The address of the server for its superuser.
    pub(crate) fn url(&self) -> String {
        self.url_of(SUPERUSER)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.dir.path().join("data/postmaster.pid").exists() {
            self.crash();
        }
    }
}
