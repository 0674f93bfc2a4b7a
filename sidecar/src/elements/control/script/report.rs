//! What a script has to complain of: said on standard error or kept for the caller, below a line that says where.

use crate::element::Cx;

/// Where complaints of one run go.
pub(super) struct Report {
    /// "While ...:", outermost first, and whether it was said already.
    contexts: Vec<(String, bool)>,
    /// Lines for whoever called; `None` if they are printed.
    kept: Option<Vec<String>>,
    /// Complaints so far.
    pub(super) errors: usize,
}

impl Report {
    /// Complaints are printed.
    pub(super) fn printed() -> Self {
        Self { contexts: Vec::new(), kept: None, errors: 0 }
    }

    /// Complaints are kept, see [`Report::take`].
    pub(super) fn kept() -> Self {
        Self { kept: Some(Vec::new()), ..Self::printed() }
    }

    /// Complaints are about `context` until [`Report::leave`].
    pub(super) fn within(&mut self, context: String) {
        self.contexts.push((context, false));
    }

    /// Ends the innermost context.
    pub(super) fn leave(&mut self) {
        self.contexts.pop();
    }

    /// Takes a complaint of one or more lines; an empty one only counts.
    pub(super) fn error(&mut self, cx: &Cx<'_>, text: &str) {
        self.errors += 1;
        if text.is_empty() {
            return;
        }
        let mut lines = Vec::new();
        for (depth, (context, said)) in self.contexts.iter_mut().enumerate() {
            if !std::mem::replace(said, true) {
                lines.push(format!("{:1$}{context}", "", depth * 2));
            }
        }
        let depth = self.contexts.len() * 2;
        lines.extend(text.lines().map(|line| format!("{:depth$}{line}", "")));
        match &mut self.kept {
            Some(kept) => kept.extend(lines),
            None => lines.iter().for_each(|line| cx.message(line)),
        }
    }

    /// What was kept.
    pub(super) fn take(self) -> Vec<String> {
        self.kept.unwrap_or_default()
    }
}
