//! What was measured: times on the clock and on a processor, memory, medians, and the table of them.

use std::time::Instant;

/// The figures of one subject.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) connections_per_s: f64,
    pub(crate) connection_cpu_us: f64,
    pub(crate) call_median_us: f64,
    pub(crate) call_99_us: f64,
    pub(crate) answers_mib_per_s: f64,
    pub(crate) answers_cpu_s: f64,
    pub(crate) stream_mib_per_s: f64,
    pub(crate) stream_cpu_s: f64,
}

/// A line of the table: what it says, its figure, the digits behind the point.
type Line = (&'static str, fn(&Figures) -> f64, usize);

const LINES: [Line; 8] = [
    ("connections with one call, per second", |figures| figures.connections_per_s, 0),
    ("CPU time of one, µs", |figures| figures.connection_cpu_us, 0),
    ("empty call, median, µs", |figures| figures.call_median_us, 0),
    ("empty call, 99 %, µs", |figures| figures.call_99_us, 0),
    ("answers of 1 MiB, 8 at once, MiB/s", |figures| figures.answers_mib_per_s, 0),
    ("CPU time of 256 of them, s", |figures| figures.answers_cpu_s, 3),
    ("one stream of 256 MiB, MiB/s", |figures| figures.stream_mib_per_s, 0),
    ("CPU time of it, s", |figures| figures.stream_cpu_s, 3),
];

impl Figures {
    /// The median of each figure by itself.
    pub(crate) fn median(all: &[Self]) -> Self {
        let median = |figure: fn(&Self) -> f64| {
            let mut values: Vec<f64> = all.iter().map(figure).collect();
            values.sort_unstable_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            connections_per_s: median(|figures| figures.connections_per_s),
            connection_cpu_us: median(|figures| figures.connection_cpu_us),
            call_median_us: median(|figures| figures.call_median_us),
            call_99_us: median(|figures| figures.call_99_us),
            answers_mib_per_s: median(|figures| figures.answers_mib_per_s),
            answers_cpu_s: median(|figures| figures.answers_cpu_s),
            stream_mib_per_s: median(|figures| figures.stream_mib_per_s),
            stream_cpu_s: median(|figures| figures.stream_cpu_s),
        }
    }
}

/// Prints the table, in Markdown, with what the first subject has of the second.
pub(crate) fn print_table(subjects: &[(&str, Figures)]) {
    let names: Vec<&str> = subjects.iter().map(|(name, _)| *name).collect();
    println!("| | {} | first : second |", names.join(" | "));
    println!("| --- |{}", " --- |".repeat(names.len() + 1));
    for (what, figure, digits) in LINES {
        let cells: Vec<String> =
            subjects.iter().map(|(_, figures)| format!("{:.digits$}", figure(figures))).collect();
        let relation = match subjects {
            [first, second, ..] => format!("{:.0} %", 100.0 * figure(&first.1) / figure(&second.1)),
            _ => String::new(),
        };
        println!("| {what} | {} | {relation} |", cells.join(" | "));
    }
}

/// Time that passed, and that this process had on processors.
pub(crate) struct Elapsed {
    pub(crate) elapsed_s: f64,
    pub(crate) cpu_s: f64,
}

/// Measures both kinds of time.
pub(crate) struct Stopwatch {
    begun: Instant,
    cpu_begun_s: f64,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now(), cpu_begun_s: cpu_s() }
    }

    pub(crate) fn stop(self) -> Elapsed {
        Elapsed { elapsed_s: self.begun.elapsed().as_secs_f64(), cpu_s: cpu_s() - self.cpu_begun_s }
    }
}

/// What the threads of this process have had on processors; 0 where the system does not tell.
fn cpu_s() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let of_thread = |thread: std::io::Result<std::fs::DirEntry>| {
        let statistics = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        statistics.split_whitespace().next()?.parse::<u64>().ok()
    };
    threads.filter_map(of_thread).sum::<u64>() as f64 / 1e9
}

/// A field of the process's memory; 0 where the system does not tell.
pub(crate) fn memory_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Begins the greatest memory (`VmHWM`) anew from what there is now.
pub(crate) fn reset_peak_memory() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}
