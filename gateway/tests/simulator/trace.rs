//! The last lines of what happened, for a failure's report.

use std::collections::VecDeque;
use std::fmt::Arguments;

/// Lines kept when nothing is printed as it happens.
const KEPT: usize = 60;

/// Characters of a detail.
const DETAIL: usize = 160;

pub(crate) struct Trace {
    lines: VecDeque<String>,
    print: bool,
    /// Changes with every line: two runs of one seed must agree.
    digest: u64,
}

impl Trace {
    pub(crate) fn new(print: bool) -> Self {
        Self {
            lines: VecDeque::new(),
            print,
            digest: 0,
        }
    }

    pub(crate) fn line(&mut self, now: u64, what: Arguments<'_>) {
        let line = format!("{:>12.6} {what}", now as f64 / 1e6);
        if self.print {
            eprintln!("{line}");
        }
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.lines.len() >= KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Only worth a line when everything is printed.
    pub(crate) fn detail(&self, now: u64, what: Arguments<'_>) {
        if self.print {
            let line: String = what.to_string().chars().take(DETAIL).collect();
            eprintln!("{:>12.6} . {line}", now as f64 / 1e6);
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn tail(&self) -> String {
        self.lines
            .iter()
            .map(|line| format!("  {line}\n"))
            .collect()
    }
}
