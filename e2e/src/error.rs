//! The one error type of the test programs: it always names what was being done.

use std::io;

/// Why a test program could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, with the name of the object.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A program ended with a failure.
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds:.1} s; last seen: {last}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long, in seconds.
        seconds: f64,
        /// The last state that was seen.
        last: String,
    },
    /// An HTTP request was answered with another status than asked for.
    #[error("{request} was answered {status}: {body}")]
    Http {
        /// Method and address.
        request: String,
        /// HTTP status code.
        status: u16,
        /// The body, which holds the reason.
        body: String,
    },
    /// A file, an option or an answer does not hold what it should.
    #[error("{what}: {problem}")]
    Invalid {
        /// The file, option or answer.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Error {
    /// Adds what was being done to an error of the operating system.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// As [`Error::io`], for the system calls that answer with a bare number.
    pub fn errno(doing: impl Into<String>) -> impl FnOnce(nix::Error) -> Self {
        let doing = doing.into();
        move |errno| Self::Io { doing, source: errno.into() }
    }

    /// Says what is wrong with an input.
    pub fn invalid(what: impl Into<String>, problem: impl ToString) -> Self {
        Self::Invalid { what: what.into(), problem: problem.to_string() }
    }
}
