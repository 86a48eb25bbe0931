//! The page as a whole: one file that loads nothing.

use super::text::escape;
use super::{figures, headline, origin, tables};
use crate::advice::Advice;
use serde::Serialize;

use super::figure::STYLE;

/// Puts the parts together.
pub(super) fn html(advice: &Advice) -> String {
    let figures: String =
        figures::all(advice).iter().enumerate().map(|(i, figure)| figure.html(i + 1)).collect();
    let parts = [
        headline::html(advice),
        headline::reasons(advice),
        format!(
            "<section>\n<h2>What was measured</h2>\n<div class=\"figures\">\n{figures}</div>\n</section>\n"
        ),
        tables::html(advice),
        origin::html(advice),
    ];
    frame(&headline::answer(advice), &parts.concat(), "advice", &json(advice))
}

/// A page of its own that loads nothing and runs nothing: its title, the HTML of its parts, and its data as JSON in the
/// element `id`.
pub(super) fn frame(title: &str, parts: &str, id: &str, json: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n\
         <script type=\"application/json\" id=\"{id}\">{json}</script>\n</body>\n</html>\n",
        escape(title),
        parts
    )
}

/// A value as JSON that no HTML parser can take for markup: `<` occurs in strings only, and is written there by
/// its number.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).map_or_else(|_| "null".to_owned(), |text| text.replace('<', "\\u003c"))
}
