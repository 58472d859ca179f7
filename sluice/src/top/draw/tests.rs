//! Pictures of known looks.

use std::time::Instant;

use super::*;
use crate::top::rates::tests::sample;

fn screen(page: PageName) -> Screen {
    let start = Instant::now();
    let picture = Picture::new(Some(&sample(start, 1, 7)), &sample(start, 2, 7));
    Screen {
        picture: Some(picture),
        page,
        scroll: 0,
        paused: false,
        trouble: None,
        interval: 1.0,
        interactive: true,
    }
}

#[test]
fn the_overview_fits_80_by_24() {
    let text = as_text(&screen(PageName::Overview), 80, 24);
    assert_eq!(text, include_str!("../overview.txt"), "\n{text}");
}

fn with_scheduler(page: PageName) -> Screen {
    let mut screen = screen(page);
    let sched = serde_json::from_value(crate::sched::tests::answer());
    screen.picture.as_mut().unwrap().sched = sched.unwrap();
    screen
}

#[test]
fn ip58_the_page_of_the_scheduler_fits_80_by_24() {
    let text = as_text(&with_scheduler(PageName::Sched), 80, 24);
    assert_eq!(text, include_str!("../scheduler.txt"), "\n{text}");
}

#[test]
fn ip58_the_overview_has_what_the_scheduler_does() {
    let text = as_text(&with_scheduler(PageName::Overview), 80, 200);
    for part in [
        "6 Scheduler",
        "worker 0",
        "moving: gone",
        "w0   4",
        "front moved to worker 0",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let small = as_text(&with_scheduler(PageName::Overview), 80, 24);
    for heading in ["Stage ", "Actor", "Port", "Core", "Dropped by"] {
        assert!(small.contains(heading), "{heading} is not in\n{small}");
    }
    let without = as_text(&screen(PageName::Overview), 80, 200);
    assert!(
        !without.contains("Actor") && !without.contains("Scheduler"),
        "{without}"
    );
    assert!(as_text(&screen(PageName::Sched), 80, 24).contains("no scheduler"));
}

#[test]
fn every_page_draws_at_every_size() {
    for (page, title) in PAGES {
        for (width, height) in [(1, 1), (10, 3), (40, 10), (80, 24), (300, 100)] {
            let text = as_text(&with_scheduler(page), width, height);
            assert!(
                width < 80 || text.contains(title),
                "{title} at {width}x{height}"
            );
        }
    }
}

#[test]
fn what_is_wrong_is_red() {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    let mut screen = screen(PageName::Overview);
    screen.picture.as_mut().unwrap().problems = vec!["port \"servers\" is lost".into()];
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw(frame, &screen)).unwrap();
    let buffer = terminal.backend().buffer();
    let red: String = buffer
        .content()
        .iter()
        .filter(|cell| cell.fg == Color::Red)
        .map(|cell| cell.symbol())
        .collect();
    assert!(red.contains("is lost"), "{red}");
    assert!(red.contains("40"), "the stage's drops are red: {red}");
    let normal: String = buffer
        .content()
        .iter()
        .filter(|cell| cell.fg == Color::Reset)
        .map(|cell| cell.symbol())
        .collect();
    assert!(
        normal.contains("no_port"),
        "a drop that does not grow is not red"
    );
}

#[test]
fn long_lists_scroll() {
    let mut long = screen(PageName::Drops);
    let picture = long.picture.as_mut().unwrap();
    picture.drops = (0..40)
        .map(|n| DropRate {
            place: format!("stage{n:02}"),
            ..DropRate::default()
        })
        .collect();
    let text = as_text(&long, 80, 24);
    assert!(
        text.contains("stage00") && text.contains("… 21 more"),
        "{text}"
    );
    long.scroll = 1000;
    let text = as_text(&long, 80, 24);
    assert!(
        text.contains("stage39") && !text.contains("stage00"),
        "{text}"
    );
}

#[test]
fn rows_are_shared_out() {
    assert_eq!(share([5, 4, 3, 5], 20), [5, 4, 3, 5]);
    assert_eq!(share([30, 4, 3, 5], 20).iter().sum::<u16>(), 20);
    assert_eq!(share([30, 4, 3, 5], 20)[2], 3);
    assert_eq!(share([3, 3, 3, 3], 0), [0; 4]);
}
