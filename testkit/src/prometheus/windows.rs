//! The substitution that deploy/prometheus/README.md names: windows, pauses and intervals become 60 times shorter.

/// The rule file with every duration in square brackets, and every `for:` and `interval:`, divided by 60. Names that
/// hold a duration stay as they are.
pub(super) fn shortened(rules: &str) -> String {
    let lines: Vec<_> = rules.lines().map(line).collect();
    lines.join("\n") + "\n"
}

fn line(line: &str) -> String {
    let start = line.trim_start();
    for key in ["for: ", "interval: "] {
        if let Some(duration) = start.strip_prefix(key) {
            let indent = &line[..line.len() - start.len()];
            let millis = millis(duration.trim()).unwrap_or_else(|| panic!("not a duration: {line}"));
            return format!("{indent}{key}{}ms", millis / 60);
        }
    }
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        let (inner, after) = after.split_once(']').unwrap_or((after, ""));
        let inner = millis(inner).map_or_else(|| inner.to_owned(), |millis| format!("{}ms", millis / 60));
        out.push_str(&format!("{before}[{inner}]"));
        rest = after;
    }
    out + rest
}

fn millis(duration: &str) -> Option<u64> {
    let at = duration.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = duration.split_at(at);
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * unit)
}

#[test]
fn only_durations_are_shortened() {
    let rules = "  - name: x\n    interval: 30s\n    - alert: y\n      expr: fanfare:a:rate5m[1h] / b[5m]\n      for: 2m";
    let short = "  - name: x\n    interval: 500ms\n    - alert: y\n      expr: fanfare:a:rate5m[60000ms] / b[5000ms]\n      for: 2000ms\n";
    assert_eq!(shortened(rules), short);
    assert_eq!(shortened("rule_files: [recording.yaml]"), "rule_files: [recording.yaml]\n");
}
