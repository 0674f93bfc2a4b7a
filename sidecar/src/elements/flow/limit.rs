//! A number at which a counter freezes, stops the router or calls a handler, once.

use crate::element::{Args, ConfigError, HandlerError};
use crate::elements::source::split_call;
use crate::state::{Reader, StateError, Writer};

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limit {
    /// `u64::MAX` for never.
    pub(super) at: u64,
    /// Handlers of the element itself are written with a leading dot until its name is known.
    handler: String,
    value: String,
}

impl Limit {
    const NEVER: u64 = u64::MAX;

    /// From the three arguments that say it: to freeze, to stop, to call.
    pub(super) fn build(args: &Args<'_>, names: [&str; 3], what: &str) -> Result<Self, ConfigError> {
        let [freeze, stop, call] = names;
        if names.iter().filter(|name| args.text(name).is_some()).count() > 1 {
            return Err(format!("'{freeze}', '{stop}', and '{call}' are mutually exclusive").into());
        }
        let own = |at, handler: &str, value: &str| Self {
            at,
            handler: handler.to_owned(),
            value: value.to_owned(),
        };
        if let Some(at) = args.get(freeze)? {
            return Ok(own(at, ".freeze", "true"));
        }
        if let Some(at) = args.get(stop)? {
            return Ok(own(at, ".stop", ""));
        }
        let Some(text) = args.text(call) else { return Ok(own(Self::NEVER, "", "")) };
        Self::parse(text).ok_or_else(|| format!("{call} first word should be unsigned ({what})").into())
    }

    /// `N HANDLER [VALUE]`.
    fn parse(text: &str) -> Option<Self> {
        let (at, call) = text.trim().split_once(char::is_whitespace)?;
        let (handler, value) = split_call(call);
        Some(Self { at: at.parse().ok()?, handler, value })
    }

    /// As a handler is written: nothing for never.
    pub(super) fn parse_handler(handler: &str, text: &str) -> Result<Self, HandlerError> {
        if text.trim().is_empty() {
            return Ok(Self { at: Self::NEVER, handler: String::new(), value: String::new() });
        }
        let refusal = || format!("argument to '{handler}' should be 'N HANDLER [VALUE]'");
        Self::parse(text).ok_or_else(|| HandlerError::Refused(refusal()))
    }

    /// The call of element `name`, which will not be made again.
    #[cold]
    pub(super) fn reached(&mut self, name: &str) -> (String, String) {
        self.at = Self::NEVER;
        (self.handler_of(name), self.value.clone())
    }

    fn handler_of(&self, name: &str) -> String {
        if self.handler.starts_with('.') { format!("{name}{}", self.handler) } else { self.handler.clone() }
    }

    /// As it is written, for element `name`; nothing for never.
    pub(super) fn show(&self, name: &str) -> String {
        match self.at {
            Self::NEVER => String::new(),
            at => format!("{at} {} {}", self.handler_of(name), self.value).trim_end().to_owned(),
        }
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u64(self.at);
        w.put_str(&self.handler);
        w.put_str(&self.value);
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.at = r.get_u64()?;
        self.handler = r.get_str()?.to_owned();
        self.value = r.get_str()?.to_owned();
        Ok(())
    }
}
