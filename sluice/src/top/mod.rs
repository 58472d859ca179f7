//! `sluice top`: a running appliance, live.

mod draw;
mod rates;
mod sample;

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::draw::{Screen, pages};
use self::rates::Picture;
use self::sample::Sample;
use crate::cli::TopArgs;
use crate::client::Endpoint;
use crate::failure::Failure;
use crate::instance;

/// Height of the picture of `--once`: enough for every row.
const ONCE_HEIGHT: u16 = 200;

/// How long a key may wait to be seen, and a new picture to be drawn.
const TURN: Duration = Duration::from_millis(50);

/// Runs the command.
pub fn run(args: &TopArgs) -> Result<ExitCode, Failure> {
    let endpoint = match &args.url {
        Some(url) => instance::parse_url(url)?,
        None => instance::find(&args.target)?,
    };
    let mut screen = Screen {
        picture: None,
        page: args.page,
        scroll: 0,
        paused: false,
        trouble: None,
        interval: args.interval,
        interactive: false,
    };
    if args.once || args.json {
        let before = Sample::take(&endpoint)?;
        std::thread::sleep(Duration::from_secs_f64(args.interval));
        let picture = Picture::new(Some(&before), &Sample::take(&endpoint)?);
        let mut out = std::io::stdout().lock();
        if args.json {
            writeln!(out, "{:#}", serde_json::to_value(&picture)?)?;
        } else {
            screen.picture = Some(picture);
            out.write_all(draw::as_text(&screen, args.width, ONCE_HEIGHT).as_bytes())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    // A mistake in the name of the appliance is told before the screen changes.
    let first = Sample::take(&endpoint)?;
    screen.picture = Some(Picture::new(None, &first));
    screen.interactive = true;
    watch(&endpoint, first, screen)?;
    Ok(ExitCode::SUCCESS)
}

/// Draws and obeys keys until the end is asked for.
fn watch(endpoint: &Endpoint, first: Sample, mut screen: Screen) -> Result<(), Failure> {
    let interval = Arc::new(AtomicU64::new(millis(screen.interval)));
    let samples = sampler(endpoint.clone(), interval.clone());
    let mut before = first;
    let mut terminal = ratatui::try_init()?;
    let result = loop {
        if let Err(error) = terminal.draw(|frame| draw::draw(frame, &screen)) {
            break Err(error.into());
        }
        match event::poll(TURN).and_then(|ready| {
            if ready {
                event::read().map(Some)
            } else {
                Ok(None)
            }
        }) {
            Ok(Some(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                if obey(&mut screen, key) {
                    break Ok(());
                }
                interval.store(millis(screen.interval), Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(error) => break Err(error.into()),
        }
        for sample in samples.try_iter() {
            match sample {
                Ok(now) => {
                    screen.trouble = None;
                    if !screen.paused {
                        screen.picture = Some(Picture::new(Some(&before), &now));
                    }
                    before = now;
                }
                Err(failure) => screen.trouble = Some(failure.message().to_owned()),
            }
        }
    };
    ratatui::restore();
    result
}

fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

/// Looks again and again on a thread of its own, so that an appliance that is slow to answer does not
/// stop the keys.
fn sampler(
    endpoint: Endpoint,
    interval: Arc<AtomicU64>,
) -> mpsc::Receiver<Result<Sample, Failure>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(interval.load(Ordering::Relaxed)));
            if sender.send(Sample::take(&endpoint)).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Does what a key says; true when that is the end.
fn obey(screen: &mut Screen, key: KeyEvent) -> bool {
    let last = screen
        .picture
        .as_ref()
        .map_or(0, |picture| draw::rows(picture, screen.page));
    let pages = pages(screen.picture.as_ref());
    let page = pages
        .iter()
        .position(|(page, _)| *page == screen.page)
        .unwrap_or(0);
    let mut turn_to = |page: usize| {
        if let Some((page, _)) = pages.get(page) {
            screen.page = *page;
            screen.scroll = 0;
        }
    };
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
        KeyCode::Char('q') | KeyCode::Esc => return true,
        KeyCode::Char('p' | ' ') => screen.paused = !screen.paused,
        KeyCode::Tab | KeyCode::Right => turn_to((page + 1) % pages.len()),
        KeyCode::BackTab | KeyCode::Left => turn_to((page + pages.len() - 1) % pages.len()),
        KeyCode::Char(digit @ '1'..='6') => turn_to(digit as usize - '1' as usize),
        KeyCode::Down => screen.scroll = (screen.scroll + 1).min(last.saturating_sub(1)),
        KeyCode::Up => screen.scroll = screen.scroll.saturating_sub(1),
        KeyCode::PageDown => screen.scroll = (screen.scroll + 10).min(last.saturating_sub(1)),
        KeyCode::PageUp => screen.scroll = screen.scroll.saturating_sub(10),
        KeyCode::Home => screen.scroll = 0,
        KeyCode::Char('+') => screen.interval = (screen.interval * 2.0).min(60.0),
        KeyCode::Char('-') => screen.interval = (screen.interval / 2.0).max(0.25),
        _ => {}
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::PageName;

    fn press(screen: &mut Screen, code: KeyCode) -> bool {
        obey(screen, KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn keys() {
        let start = std::time::Instant::now();
        let now = rates::tests::sample(start, 2, 7);
        let mut screen = Screen {
            picture: Some(Picture::new(None, &now)),
            page: PageName::Overview,
            scroll: 0,
            paused: false,
            trouble: None,
            interval: 1.0,
            interactive: true,
        };
        assert!(!press(&mut screen, KeyCode::BackTab));
        assert_eq!(screen.page, PageName::Cores);
        press(&mut screen, KeyCode::Tab);
        press(&mut screen, KeyCode::Char('4'));
        assert_eq!(screen.page, PageName::Drops);
        for _ in 0..9 {
            press(&mut screen, KeyCode::Down);
        }
        assert_eq!(screen.scroll, 2, "three drops");
        press(&mut screen, KeyCode::Right);
        assert_eq!((screen.page, screen.scroll), (PageName::Cores, 0));
        press(&mut screen, KeyCode::Char('6'));
        assert_eq!(screen.page, PageName::Cores, "there is no scheduler");
        screen.picture.as_mut().unwrap().sched =
            serde_json::from_value(crate::sched::tests::answer()).unwrap();
        press(&mut screen, KeyCode::Char('6'));
        assert_eq!(screen.page, PageName::Sched);
        press(&mut screen, KeyCode::Tab);
        assert_eq!(screen.page, PageName::Overview);
        press(&mut screen, KeyCode::Char('p'));
        assert!(screen.paused);
        for _ in 0..9 {
            press(&mut screen, KeyCode::Char('-'));
        }
        assert_eq!(screen.interval, 0.25);
        assert!(press(&mut screen, KeyCode::Char('q')));
        assert!(obey(
            &mut screen,
            KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)
        ));
    }
}
