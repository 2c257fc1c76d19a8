//! Which known word somebody probably meant.

/// Words longer than this are not compared: the cost is quadratic, and nothing that long is a key.
const WORD_LEN_MAX: usize = 64;

/// The known word that is closest to `word`, if any is close: at most a third of its letters differ.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = word.chars().count();
    if letters > WORD_LEN_MAX {
        return None;
    }
    let distance_max = (letters / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().take(2 * WORD_LEN_MAX).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replaced = last[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_words_are_found_and_others_are_not() {
        let known = ["artifacts_dir", "staging_dir", "max", "heal-minimal", "heal-full"];
        let table = [
            ("artifact_dir", Some("artifacts_dir")),
            ("artifcats_dir", Some("artifacts_dir")),
            ("mx", Some("max")),
            ("heal-ful", Some("heal-full")),
            ("something_else", None),
            ("", None),
        ];
        for (word, expected) in table {
            assert_eq!(closest(word, known), expected, "{word}");
        }
        assert_eq!(closest(&"a".repeat(1000), known), None);
    }

    #[test]
    fn a_swap_of_neighbours_counts_once() {
        for (left, right, distance) in
            [("", "", 0), ("ab", "ba", 1), ("abc", "", 3), ("kitten", "sitting", 3)]
        {
            assert_eq!(edit_distance(left, right), distance, "{left} {right}");
        }
    }
}
