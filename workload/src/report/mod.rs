//! Pages and plots: self-contained, no script, no font, no picture from elsewhere, light or dark as the
//! reader's system is.

pub mod curves;
pub mod svg;

use std::fmt::Write;

use serde::Serialize;

use svg::escape;

const STYLE: &str = include_str!("style.css");

/// Wraps `body` into a page, with the result itself at its end.
pub fn page<T: Serialize>(title: &str, body: &str, result: &T) -> String {
    let json = serde_json::to_string_pretty(result).unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\
         <details><summary>Everything as JSON</summary>\n<pre>{}</pre></details>\n\
         </body>\n</html>\n",
        escape(&json),
        title = escape(title),
    )
}

/// A figure in large letters: its name, its value, and what else there is to say.
pub fn card(page: &mut String, name: &str, value: &str, more: &str) {
    let _ = writeln!(
        page,
        "<div class=\"card\"><span>{}</span><b>{}</b><span>{}</span></div>",
        escape(name),
        escape(value),
        escape(more)
    );
}

/// A picture (SVG) below its title.
pub fn figure(page: &mut String, title: &str, picture: &str) {
    let _ = writeln!(
        page,
        "<h2>{}</h2>\n<figure>{picture}</figure>",
        escape(title)
    );
}

/// A table below its title.
pub fn table(page: &mut String, title: &str, head: &[&str], rows: &[Vec<String>]) {
    let _ = write!(
        page,
        "<h2>{}</h2>\n<div class=\"scroll\"><table><tr>",
        escape(title)
    );
    for cell in head {
        let _ = write!(page, "<th>{}</th>", escape(cell));
    }
    page.push_str("</tr>\n");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            let _ = write!(page, "<td>{}</td>", escape(cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
}

/// Paragraphs in a softer colour.
pub fn notes(page: &mut String, notes: &[String]) {
    for note in notes {
        let _ = writeln!(page, "<p class=\"soft\">{}</p>", escape(note));
    }
}

/// The rules of the page's style that drawings use, with the colours of the light theme in the place of their
/// names: not every viewer of pictures knows names.
fn picture_style() -> String {
    let root = STYLE.split('}').next().unwrap_or_default();
    let names = root.split([';', '{']).filter_map(|part| {
        let (name, value) = part.trim().strip_prefix("--")?.split_once(':')?;
        Some((format!("var(--{name})"), value.trim()))
    });
    let of_drawings = |line: &&str| {
        [
            "svg text", "svg .", ".grid", ".line", ".dot", ".spread", ".bar", ".outline",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    };
    let rules: Vec<&str> = STYLE.lines().filter(of_drawings).collect();
    let style = format!(
        "svg {{ font: 12px \"DejaVu Sans\", sans-serif; background: #ffffff; }}\n{}\n",
        rules.join("\n")
    );
    names.fold(style, |style, (name, value)| style.replace(&name, value))
}

/// A picture as a file of its own.
pub fn picture(svg: &str) -> String {
    let style = picture_style();
    let mut view = svg.split("viewBox=\"0 ").skip(1);
    let top = view.next().and_then(|rest| rest.split(' ').next());
    let top = top.unwrap_or("0");
    svg.replacen(
        "<svg ",
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1140\" ",
        1,
    )
    .replacen(
        ">\n",
        &format!(
            ">\n<style>\n{style}</style>\n<rect y=\"{top}\" width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        ),
        1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_alone_has_colours_and_no_names_of_them() {
        let file = picture("<svg viewBox=\"0 0 1 1\">\n<path class=\"line c1\"/></svg>");
        assert!(file.contains(".line.c1 { stroke: #d9730d;"), "{file}");
        assert!(!file.contains("var(--") && !file.contains("body"), "{file}");
        assert!(file.contains("svg text { fill: #5b6575;"), "{file}");
    }
}
