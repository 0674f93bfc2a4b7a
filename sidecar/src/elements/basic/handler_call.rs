//! Calls of write handlers that an argument names: `HANDLER [VALUE]`.

use crate::config::{shift_word, split_arguments, unquote};
use crate::element::{Cx, HandlerError};

/// A call to be made later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::elements) struct HandlerCall {
    handler: String,
    value: String,
}

impl HandlerCall {
    /// Parses `HANDLER [VALUE]`.
    pub(in crate::elements) fn parse(text: &str) -> Self {
        let (handler, value) = shift_word(text);
        let handler = String::from_utf8_lossy(&unquote(handler)).into_owned();
        Self { handler, value: value.trim_end().to_owned() }
    }

    /// Whether it can be called from here, for `initialize`. The error is a sentence for the user.
    pub(in crate::elements) fn check(&self, cx: &Cx<'_>) -> Result<(), String> {
        match cx.handler_access(&self.handler) {
            Ok(access) if access.writable => Ok(()),
            Ok(_) | Err(HandlerError::NoHandler(_)) => Err(format!("no '{}' write handler", self.handler)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Makes the call as soon as the element at work has returned.
    pub(in crate::elements) fn make(&self, cx: &mut Cx<'_>) {
        cx.write_later(self.handler.as_str(), self.value.as_str());
    }

    /// The element that it names.
    fn element(&self) -> Option<&str> {
        self.handler.rsplit_once('.').map(|(element, _)| element)
    }

    /// The elements that these arguments of a configuration name, the first word of each value passed over `skip` times.
    pub(in crate::elements) fn ties(config: &str, keywords: &[&str], skip: usize) -> Vec<String> {
        let arguments = split_arguments(config);
        let values = arguments.iter().filter_map(|argument| {
            let (word, value) = shift_word(argument);
            keywords.contains(&word).then_some(value)
        });
        let calls = values.map(|value| Self::parse((0..skip).fold(value, |value, _| shift_word(value).1)));
        calls.filter_map(|call| call.element().map(str::to_owned)).collect()
    }
}

impl std::fmt::Display for HandlerCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let space = if self.value.is_empty() { "" } else { " " };
        write!(f, "{}{space}{}", self.handler, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_handler_and_its_value() {
        let call = HandlerCall::parse(" 'a.b'  x  'y' ");
        assert_eq!((call.to_string().as_str(), call.element()), ("a.b x  'y'", Some("a")));
    }

    #[test]
    fn elements_are_tied_to_those_they_call() {
        let config = "3, COUNT_CALL 10 a/b.run x, OTHER c.d, END_CALL stop, BYTE_CALL 5 e.f";
        assert_eq!(HandlerCall::ties(config, &["COUNT_CALL", "BYTE_CALL"], 1), ["a/b", "e"]);
        assert_eq!(HandlerCall::ties("END_CALL q.reset", &["END_CALL"], 0), ["q"]);
    }
}
