//! Tells error pages that were sent with a status of success ("soft 404s") from other pages.
//!
//! Only what a page calls itself counts, its title or else its first heading: sentences about things that are not there stand on
//! ordinary pages as well.

use std::borrow::Cow;

use memchr::memmem;

use crate::TargetUrl;
use crate::page::{LOOKED_AT, is_html};

/// Longest title that is read, in bytes.
const MAX_TITLE_BYTES: usize = 512;

/// What error pages call themselves: in lower case, without punctuation, without the words of [`FILLERS`] around it.
const PHRASES: &[&str] = &[
    // English
    "not found",
    "page not found",
    "file not found",
    "image not found",
    "object not found",
    "resource not found",
    "document not found",
    "content not found",
    "url not found",
    "requested url was not found",
    "page was not found",
    "page cannot be found",
    "page can't be found",
    "page could not be found",
    "page couldn't be found",
    "page you requested could not be found",
    "page you requested was not found",
    "page you are looking for could not be found",
    "page you're looking for could not be found",
    "page does not exist",
    "page doesn't exist",
    "page no longer exists",
    "page not available",
    "page is not available",
    "page isn't available",
    "page unavailable",
    "we can't find that page",
    "we couldn't find that page",
    "we can't find the page you're looking for",
    "we couldn't find the page you were looking for",
    // German
    "nicht gefunden",
    "seite nicht gefunden",
    "seite wurde nicht gefunden",
    "seite konnte nicht gefunden werden",
    "seite existiert nicht",
    "datei nicht gefunden",
    "bild nicht gefunden",
    // French
    "introuvable",
    "page introuvable",
    "page non trouvée",
    "page non trouvee",
    "page n'existe pas",
    "page n'a pas été trouvée",
    "fichier introuvable",
    "image introuvable",
    // Spanish
    "no encontrado",
    "no encontrada",
    "página no encontrada",
    "pagina no encontrada",
    "no se encontró la página",
    "no se ha encontrado la página",
    "página no existe",
    "archivo no encontrado",
    "imagen no encontrada",
    // Portuguese
    "não encontrado",
    "não encontrada",
    "página não encontrada",
    "pagina não encontrada",
    "pagina nao encontrada",
    "página não existe",
    // Italian
    "non trovato",
    "pagina non trovata",
    "pagina inesistente",
    "file non trovato",
    // Dutch
    "niet gevonden",
    "pagina niet gevonden",
    "pagina bestaat niet",
    // Swedish, Danish, Norwegian, Finnish
    "sidan hittades inte",
    "sidan kunde inte hittas",
    "sidan finns inte",
    "siden blev ikke fundet",
    "siden findes ikke",
    "siden ble ikke funnet",
    "siden finnes ikke",
    "fant ikke siden",
    "sivua ei löydy",
    "sivua ei löytynyt",
    // Polish, Czech, Hungarian, Romanian
    "nie znaleziono",
    "nie znaleziono strony",
    "strona nie została znaleziona",
    "strona nie istnieje",
    "stránka nenalezena",
    "stránka nebyla nalezena",
    "az oldal nem található",
    "oldal nem található",
    "pagina nu a fost găsită",
    // Turkish, Greek, Russian, Ukrainian
    "sayfa bulunamadı",
    "η σελίδα δεν βρέθηκε",
    "не найдено",
    "страница не найдена",
    "страница не существует",
    "сторінку не знайдено",
    // Chinese, Japanese, Korean
    "页面未找到",
    "页面不存在",
    "找不到页面",
    "您访问的页面不存在",
    "找不到網頁",
    "找不到頁面",
    "頁面不存在",
    "ページが見つかりません",
    "ページが見つかりませんでした",
    "お探しのページは見つかりませんでした",
    "お探しのページが見つかりません",
    "페이지를 찾을 수 없습니다",
    // Arabic, Hebrew, Indonesian, Vietnamese
    "الصفحة غير موجودة",
    "הדף לא נמצא",
    "halaman tidak ditemukan",
    "không tìm thấy trang",
];

/// Words that stand around a phrase and say nothing themselves.
const FILLERS: &[&str] = &[
    NUMBER,
    "http",
    "status",
    "code",
    "error",
    "oops",
    "ooops",
    "whoops",
    "sorry",
    "page",
    "the",
    "this",
    "that",
    "fehler",
    "die",
    "diese",
    "leider",
    "erreur",
    "cette",
    "la",
    "désolé",
    "pardon",
    "esta",
    "lo",
    "siento",
    "erro",
    "a",
    "essa",
    "ops",
    "errore",
    "questa",
    "spiacenti",
    "fout",
    "deze",
    "de",
    "fel",
    "fejl",
    "feil",
    "virhe",
    "błąd",
    "chyba",
    "hata",
    "ошибка",
    "помилка",
    "错误",
    "錯誤",
    "エラー",
    "오류",
];

const NUMBER: &str = "404";

/// What a path's last segment says of an error page that hosts redirect to, without the extension.
const ERROR_PAGES: &[&str] = &[
    "404",
    "error404",
    "error-404",
    "error_404",
    "404error",
    "404-error",
    "404-not-found",
    "not-found",
    "not_found",
    "notfound",
    "page-not-found",
    "page_not_found",
    "pagenotfound",
    "file-not-found",
    "filenotfound",
];

/// Whether what begins with `start` is an HTML page that calls itself one about something that was not found.
pub(crate) fn is_error_page(declared_type: Option<&str>, start: &[u8]) -> bool {
    if !is_html(declared_type, start) {
        return false;
    }
    let start = &start[..start.len().min(LOOKED_AT)];
    let name = content_of(start, b"title").or_else(|| content_of(start, b"h1"));
    name.is_some_and(|name| says_not_found(&readable(name)))
}

/// Whether `last` is a home page or an error page that redirects led to from a URL that is neither: hosts send whoever asks for
/// something that is gone there.
pub(crate) fn is_stand_in(first: &TargetUrl, last: &TargetUrl) -> bool {
    (last.path() == "/" && first.path() != "/")
        || (is_error_path(last.path()) && !is_error_path(first.path()))
}

fn is_error_path(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let last = path.rsplit('/').next().unwrap_or_default();
    let stem = last.split('.').next().unwrap_or_default();
    ERROR_PAGES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(stem))
}

/// What stands in the first element with this tag, up to its end or as much as is read of a title.
fn content_of<'a>(page: &'a [u8], tag: &[u8]) -> Option<&'a [u8]> {
    for at in memchr::memchr_iter(b'<', page) {
        let after = &page[at + 1..];
        let is_tag = after.len() > tag.len()
            && after[..tag.len()].eq_ignore_ascii_case(tag)
            && matches!(after[tag.len()], b'>' | b' ' | b'\t' | b'\r' | b'\n');
        if !is_tag {
            continue;
        }
        let begin = memchr::memchr(b'>', after)? + 1;
        let content = &after[begin..];
        let content = &content[..content.len().min(MAX_TITLE_BYTES)];
        // Headings hold further tags; what they say before the first one is enough.
        let end = memchr::memchr(b'<', content).unwrap_or(content.len());
        return Some(&content[..end]);
    }
    None
}

/// Text in lower case, with the references that occur in titles resolved.
fn readable(text: &[u8]) -> String {
    let mut text: Cow<'_, str> = String::from_utf8_lossy(text);
    if memmem::find(text.as_bytes(), b"&").is_some() {
        let mut resolved = text.into_owned();
        for (reference, character) in [
            ("&nbsp;", " "),
            ("&#160;", " "),
            ("&#39;", "'"),
            ("&#039;", "'"),
            ("&apos;", "'"),
            ("&rsquo;", "'"),
            ("&#8217;", "'"),
            ("&ndash;", "–"),
            ("&#8211;", "–"),
            ("&mdash;", "—"),
            ("&#8212;", "—"),
            ("&middot;", "·"),
            ("&raquo;", "»"),
            ("&#187;", "»"),
            ("&laquo;", "«"),
            ("&bull;", "•"),
            ("&eacute;", "é"),
            ("&atilde;", "ã"),
            ("&aacute;", "á"),
        ] {
            resolved = resolved.replace(reference, character);
        }
        text = resolved.into();
    }
    text.replace('’', "'").to_lowercase()
}

/// Whether one of the parts of a title ("Page not found | Shop") is a phrase of an error page or its bare number.
fn says_not_found(title: &str) -> bool {
    let separators = ['|', '–', '—', '·', '•', '»', '«', '!', '…'];
    title
        .split(separators)
        .flat_map(|part| part.split(" - "))
        .any(is_error_phrase)
}

fn is_error_phrase(part: &str) -> bool {
    let words: Vec<&str> = part
        .split(|character: char| !(character.is_alphanumeric() || character == '\''))
        .filter(|word| !word.is_empty())
        .collect();
    let fillers = words
        .iter()
        .take_while(|word| FILLERS.contains(word))
        .count();
    if fillers == words.len() {
        return words.contains(&NUMBER);
    }
    let trailing = words
        .iter()
        .rev()
        .take_while(|word| FILLERS.contains(word))
        .count();
    // Some phrases begin with a filler, so that any number of them may be in front.
    for first in 0..=fillers {
        for last in [words.len(), words.len() - trailing] {
            let phrase = words[first..last].join(" ");
            if PHRASES.contains(&phrase.as_str()) {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use domain::Limits;

    use super::*;

    const HTML: Option<&str> = Some("text/html");

    fn titled(title: &str) -> bool {
        let page = format!(
            "<!DOCTYPE html>\n<html><head><meta charset=utf-8><title>{title}</title></head><body>Hello</body></html>"
        );
        is_error_page(HTML, page.as_bytes())
    }

    #[test]
    fn error_pages_are_recognised_by_their_titles_in_many_languages() {
        for title in [
            "404",
            "404 Not Found",
            "404 - Page not found",
            "404: This page could not be found",
            "Error 404",
            "HTTP Status 404 – Not Found",
            "404 Page",
            "Page Not Found (404)",
            "Page not found | Garden Chairs",
            "Garden Chairs · Page not found",
            "Garden Chairs - 404",
            "Oops! Page not found.",
            "Sorry, this page isn&#39;t available.",
            "The page you’re looking for could not be found",
            "Page&nbsp;not&nbsp;found",
            "  \n File not found\t",
            "Seite nicht gefunden – Fehler 404",
            "Fehler 404: Die Seite wurde nicht gefunden",
            "Erreur 404",
            "Page introuvable | Chaises",
            "Page non trouv&eacute;e",
            "Cette page n'existe pas",
            "Página no encontrada",
            "P&aacute;gina n&atilde;o encontrada",
            "Pagina non trovata - Sedie",
            "Pagina niet gevonden",
            "Sidan hittades inte",
            "Nie znaleziono strony",
            "Sayfa bulunamadı",
            "Ошибка 404. Страница не найдена",
            "页面不存在",
            "ページが見つかりません｜椅子".replace('｜', "|").as_str(),
            "페이지를 찾을 수 없습니다.",
        ] {
            assert!(titled(title), "{title}");
        }
    }

    #[test]
    fn ordinary_pages_are_not_error_pages_whatever_they_speak_about() {
        for title in [
            "",
            "Garden chairs",
            "Error",
            "Oops!",
            "Peugeot 404",
            "Peugeot 404 Cabriolet wheel cover",
            "404 Media",
            "Room 404, second floor",
            "SKU 1404 | Chairs",
            "Lost and not found",
            "Not Found Records",
            "Not Found: A Novel",
            "How to fix page not found errors",
            "Designing a 404 page that people like",
            "500 Internal Server Error",
            "403 Forbidden",
            "Sign in",
            "Findet Nemo nicht",
            "Une page blanche",
            "La página de inicio",
        ] {
            assert!(!titled(title), "{title}");
        }
    }

    #[test]
    fn only_the_title_counts_or_else_the_first_heading_and_only_at_the_beginning() {
        let page = |body: &str| is_error_page(HTML, format!("<html>{body}</html>").as_bytes());
        assert!(page("<h1 class=big>404</h1>"));
        assert!(page("<H1>Not Found</H1><p>nginx"));
        assert!(page("<title lang=\"en\">404 Not Found"));
        assert!(!page("<title>Chairs</title><h1>Page not found</h1>"));
        assert!(!page("<p>Page not found</p>"));
        assert!(!page("<titles>404</titles>"));
        let late = format!("{}<title>404</title>", " ".repeat(LOOKED_AT));
        assert!(!page(&late));
        assert!(!is_error_page(None, b"404 Not Found"));
        assert!(!is_error_page(
            Some("image/jpeg"),
            b"\xFF\xD8<title>404</title>"
        ));
        assert!(!is_error_page(
            Some("image/svg+xml"),
            b"<svg><title>404</title></svg>"
        ));
        assert!(!is_error_page(HTML, b"<html><title"));
        assert!(!is_error_page(HTML, b"<html><title "));
    }

    #[test]
    fn home_pages_and_error_pages_stand_in_for_other_urls_only() {
        let url = |url: &str| TargetUrl::parse(url, &Limits::default()).unwrap();
        let stands_in = |first: &str, last: &str| is_stand_in(&url(first), &url(last));
        for (first, last) in [
            ("http://a.example/x.jpg", "http://a.example/"),
            ("http://a.example/x.jpg", "https://www.a.example/?from=x"),
            ("http://a.example/x.jpg", "http://a.example/404"),
            ("http://a.example/x.jpg", "http://a.example/en/404.html?u=x"),
            (
                "http://a.example/x.jpg",
                "http://a.example/errors/Not-Found/",
            ),
        ] {
            assert!(stands_in(first, last), "{first} {last}");
        }
        for (first, last) in [
            ("http://a.example/", "https://a.example/"),
            ("http://a.example/x.jpg", "https://a.example/x.jpg"),
            ("http://a.example/x.jpg", "http://a.example/login"),
            ("http://a.example/x.jpg", "http://a.example/404/x.jpg"),
            (
                "http://a.example/x.jpg",
                "http://a.example/peugeot-404.html",
            ),
            ("http://a.example/404", "http://a.example/404/"),
        ] {
            assert!(!stands_in(first, last), "{first} {last}");
        }
    }

    #[test]
    fn every_phrase_is_written_as_titles_are_compared() {
        for phrase in PHRASES {
            assert_eq!(phrase.to_lowercase(), *phrase);
            assert!(is_error_phrase(phrase), "{phrase}");
        }
    }
}
