//! Heal operations: scheduled and expired by the chain, claimed and voted on by messages (chain 7).

mod claim;
mod close;
mod verify;

/// Appends text to an operation's notes; blank text adds nothing (chain 7.4).
fn append_note(notes: &mut String, text: &str) {
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    if !notes.is_empty() {
        notes.push_str(" | ");
    }
    notes.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::append_note;

    #[test]
    fn notes_are_joined_and_blanks_are_dropped() {
        let mut notes = String::new();
        for text in [" one ", "  ", "two"] {
            append_note(&mut notes, text);
        }
        assert_eq!(notes, "one | two");
    }
}
