//! Pages for people, all of them from this program: the description of the API, and the list of error codes.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::app::App;

/// The page of error codes, as it is in the repository.
const ERRORS: &str = include_str!("../../../docs/reference/errors.md");

/// What is before and behind the table of errors.
const ERRORS_FRAME: (&str, &str) = (
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>SEG CDC: error codes</title>\
     <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><link rel=\"stylesheet\" href=\"/docs/style.css\">\
     <main><h1>Error codes</h1><p><a href=\"/docs\">API</a></p>",
    "</main></html>\n",
);

/// The routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(async || Redirect::temporary("/docs")))
        .route("/api/v1/openapi.json", get(document))
        .route("/docs", get(async || html(include_str!("docs/index.html").to_owned())))
        .route(
            "/docs/script.js",
            get(async || file("text/javascript; charset=utf-8", include_str!("docs/script.js"))),
        )
        .route(
            "/docs/style.css",
            get(async || file("text/css; charset=utf-8", include_str!("docs/style.css"))),
        )
        .route("/docs/errors", get(async || html(errors_page(ERRORS))))
}

async fn document(State(app): State<App>) -> Response {
    axum::Json(app.document()).into_response()
}

fn html(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &'static str); 2] =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")];
    (headers, text).into_response()
}

/// The table of error codes as a page in which each code can be linked to.
fn errors_page(markdown: &str) -> String {
    let mut page = ERRORS_FRAME.0.to_owned();
    let mut in_table = false;
    for line in markdown.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let is_row = line.starts_with("| `");
        if is_row != in_table {
            page.push_str(if is_row { "<table>" } else { "</table>" });
            in_table = is_row;
        }
        if let Some(title) = line.strip_prefix("## ") {
            page.push_str(&format!("<h2>{}</h2>", escaped(title)));
        }
        if let (true, Some(code)) = (is_row, cells.first()) {
            let code = code.trim_matches('`');
            page.push_str(&format!("<tr id=\"{0}\"><th>{0}</th>", escaped(code)));
            for cell in cells.iter().skip(1) {
                page.push_str(&format!("<td>{}</td>", escaped(cell).replace("&lt;br&gt;", "<br>")));
            }
            page.push_str("</tr>");
        }
    }
    if in_table {
        page.push_str("</table>");
    }
    page.push_str(ERRORS_FRAME.1);
    page
}

/// A text as HTML shows it.
fn escaped(text: &str) -> String {
    text.replace("\\|", "|")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_can_be_linked_to() {
        let page = errors_page(ERRORS);
        let rows = ERRORS.lines().filter(|line| line.starts_with("| `")).count();
        assert!(rows > 100 && page.matches("<tr id=").count() == rows, "{rows}");
        assert!(page.contains("<tr id=\"VERSION_CONFLICT\">"), "the control plane's codes are among them");
    }

    #[test]
    fn what_stands_in_a_cell_cannot_become_markup() {
        let page = errors_page("| `X_Y` | a <b> & \"c\" | one<br>two |\n");
        assert!(page.contains("<td>a &lt;b&gt; &amp; &quot;c&quot;</td><td>one<br>two</td>"), "{page}");
    }
}
