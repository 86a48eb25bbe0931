//! The page as a whole: one file that loads nothing.

use super::text::escape;
use super::{figures, headline, origin, tables};
use crate::advice::Advice;

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
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n\
         <script type=\"application/json\" id=\"advice\">{}</script>\n</body>\n</html>\n",
        escape(&headline::answer(advice)),
        parts.concat(),
        json(advice)
    )
}

/// The advice as JSON that no HTML parser can take for markup: `<` occurs in strings only, and is written there by
/// its number.
fn json(advice: &Advice) -> String {
    serde_json::to_string(advice).map_or_else(|_| "null".to_owned(), |text| text.replace('<', "\\u003c"))
}
