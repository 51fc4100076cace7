use super::*;

#[test]
fn a_scenario_becomes_flags_and_events() {
    let text = r#"
        name = "all"
        about = "Everything at once."
        viewers = 1_000
        rate = 2.5
        seconds = 30
        rest = true
        reconnect = false
        tolerate = ["dropped", "signalled"]
        zipf = 1.1
        [slo]
        deliver_ms = 300
        deliver_share = 0.95
        lost = 2
        [[raid]]
        at = 5
        viewers = 200
        [[raid]]
        at = 6.5
        viewers = 10
        over = 2
        [[storm]]
        at = 7
        [[gifts]]
        at = 8
        count = 50
        over = 1
        [curve]
        joins_a_minute = [[0, 0], [10, 600.5]]
        [churn]
        viewers = 7
        every = 2
        [slow]
        viewers = 3
        bytes_a_second = 2000
    "#;
    let scenario = Scenario::parse(text).unwrap();
    assert_eq!(
        scenario.flags,
        [
            "--viewers=1000",
            "--rate=2.5",
            "--seconds=30",
            "--rest",
            "--tolerate=dropped,signalled",
            "--slo-deliver-ms=300",
            "--slo-deliver-share=0.95",
            "--slo-lost=2"
        ]
    );
    let events = scenario.events;
    assert_eq!(events.raids[0], Raid { at: 5.0, viewers: 200, over: 0.0 });
    assert_eq!(events.raids[1], Raid { at: 6.5, viewers: 10, over: 2.0 });
    assert_eq!(events.storms, [Storm { at: 7.0, share: 1.0 }]);
    assert_eq!(events.bursts, [Burst { at: 8.0, gifts: 50, over: 1.0 }]);
    assert_eq!(events.curve[1], CurvePoint { at: 10.0, joins_a_minute: 600.5 });
    assert_eq!(events.churn, Some(Churn { viewers: 7, every: 2.0 }));
    assert_eq!(events.slow, Some(Slow { viewers: 3, bytes_a_second: 2000 }));
    assert_eq!(events.zipf, Some(1.1));
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let text = "viewers = -1\n\
        rate = \"fast\"\n\
        colour = \"red\"\n\
        seconds = 10\n\
        tolerate = [\"loss\"]\n\
        rest = 1\n\
        [[raid]]\n\
        viewers = 1.5\n\
        [[storm]]\n\
        at = 11\n\
        share = 2\n\
        [curve]\n\
        joins_a_minute = [[0, 1], [2], [3, -4]]\n\
        [churn]\n\
        viewers = 1\n\
        size = 2\n\
        slow = 1\n";
    let mistakes = Scenario::parse(text).unwrap_err();
    let lines: Vec<usize> = mistakes.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 3, 5, 6, 7, 8, 10, 11, 13, 14, 16, 17], "{mistakes:#?}");
    assert_eq!(mistakes[0].1, "viewers: a whole number from 0 to 1000000");
    assert_eq!(mistakes[5].1, "raid.at: is missing");
}

#[test]
fn broken_toml_does_not_hide_other_mistakes() {
    let mistakes = Scenario::parse("viewers = \nstreams = 0\nrate = 1 2\nviewers = 3\n").unwrap_err();
    let lines: Vec<usize> = mistakes.iter().map(|(line, _)| *line).collect();
    assert!([1, 2, 3, 4].iter().all(|line| lines.contains(line)), "{mistakes:#?}");
    for text in ["[", "\u{0}", "a = [[[[[[", "=", "[[raid]]\n[raid]", "raid = 3", "[slo]\n[slo]"] {
        assert!(Scenario::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_file_that_is_not_there_is_a_mistake() {
    assert_eq!(Scenario::read(Path::new("/nowhere/x.toml")).unwrap_err().len(), 1);
}
