//! One error type for every boundary: whose fault it is, whether to try again, and what happened where.

use std::fmt;

/// Whose fault an error is, which decides who must act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The person or program that gave the input, the arguments or the configuration.
    User,
    /// A system beside us: a broker, a database, a disk, a network.
    External,
    /// Chengmai itself.
    Internal,
}

/// Whether the same call may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It will fail the same way again.
    Never,
    /// It may succeed after a pause.
    Later,
}

/// An error that names whose fault it is and whether to retry; its text is meant for a person.
#[derive(Debug)]
pub struct Error {
    /// Whose fault it is.
    pub fault: Fault,
    /// Whether the same call may succeed later.
    pub retry: Retry,
    text: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A result with our [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Bad input, arguments or configuration; trying again won't help.
    pub fn user(text: impl Into<String>) -> Self {
        Self { fault: Fault::User, retry: Retry::Never, text: text.into(), source: None }
    }

    /// A system beside us failed in a way that may pass.
    pub fn external(text: impl Into<String>) -> Self {
        Self { fault: Fault::External, retry: Retry::Later, text: text.into(), source: None }
    }

    /// A system beside us refused for good (wrong version, no rights, fenced).
    pub fn refused(text: impl Into<String>) -> Self {
        Self { fault: Fault::External, retry: Retry::Never, text: text.into(), source: None }
    }

    /// Our own fault.
    pub fn internal(text: impl Into<String>) -> Self {
        Self { fault: Fault::Internal, retry: Retry::Never, text: text.into(), source: None }
    }

    /// The same error with the error that caused it.
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
