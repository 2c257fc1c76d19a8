//! Where two calls differ, line by line.

use super::ChainCall;
use std::fmt::Write as _;

/// Calls that are written in fewer characters are easily compared by eye.
const SHORT_LEN: usize = 60;
/// Calls with more lines are not compared.
const LINES_MAX: usize = 2000;
/// Unchanged lines that are shown before and after a change.
const CONTEXT_LINES: usize = 2;

/// The lines that were expected (`-`) and those that came (`+`), with a few around them; `None` for calls that are short,
/// or that are not to the same method.
pub(super) fn difference(expected: &ChainCall, got: &ChainCall) -> Option<String> {
    let is_same_method = std::mem::discriminant(expected) == std::mem::discriminant(got);
    if !is_same_method || format!("{got:?}").len() < SHORT_LEN {
        return None;
    }
    let (expected, got) = (format!("{expected:#?}"), format!("{got:#?}"));
    let (expected, got): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), got.lines().collect());
    (expected.len() <= LINES_MAX && got.len() <= LINES_MAX).then(|| shown(&aligned(&expected, &got)))
}

/// One line and whether it is in both (` `), was expected (`-`), or came (`+`).
type Line<'a> = (char, &'a str);

/// Both texts in one, with as many common lines as there can be.
fn aligned<'a>(expected: &[&'a str], got: &[&'a str]) -> Vec<Line<'a>> {
    // common[i][j]: the longest common sequence of the lines from i and from j on.
    let mut common = vec![vec![0_u16; got.len() + 1]; expected.len() + 1];
    for i in (0..expected.len()).rev() {
        for j in (0..got.len()).rev() {
            common[i][j] = if expected[i] == got[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::with_capacity(expected.len().max(got.len()));
    while i < expected.len() || j < got.len() {
        if i < expected.len() && j < got.len() && expected[i] == got[j] {
            lines.push((' ', expected[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == got.len() || (i < expected.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', expected[i]));
            i += 1;
        } else {
            lines.push(('+', got[j]));
            j += 1;
        }
    }
    lines
}

fn shown(lines: &[Line<'_>]) -> String {
    let is_near = |index: usize| {
        let from = index.saturating_sub(CONTEXT_LINES);
        let to = (index + CONTEXT_LINES + 1).min(lines.len());
        lines[from..to].iter().any(|(mark, _)| *mark != ' ')
    };
    let mut text = String::new();
    let mut was_shown = true;
    for (index, (mark, line)) in lines.iter().enumerate() {
        let is_shown = is_near(index);
        if is_shown {
            // Writing to a text can't fail.
            let _ = writeln!(text, "  {mark} {line}");
        } else if was_shown {
            text.push_str("    ...\n");
        }
        was_shown = is_shown;
    }
    text
}
