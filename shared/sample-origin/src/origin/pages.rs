//! Text that is served where an image was expected.

pub(super) const PAGE: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Garden chairs</title></head>
<body><h1>Garden chairs</h1><p>Twelve models, all weatherproof.</p></body></html>
";

pub(super) const NOT_FOUND_PAGE: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Page not found</title></head>
<body><h1>404</h1><p>The picture you are looking for has moved or was removed.</p></body></html>
";

pub(super) const CHALLENGE_PAGE: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Just a moment...</title>
<meta http-equiv=\"refresh\" content=\"360\"></head>
<body><h1>Checking your browser</h1><p>Enable JavaScript and cookies to continue.</p>
<form id=\"challenge-form\" action=\"/cdn-cgi/challenge-platform/verify\" method=\"POST\"></form></body></html>
";

pub(super) const SVG: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"120\" height=\"80\" viewBox=\"0 0 120 80\">
  <rect width=\"120\" height=\"80\" fill=\"#eef\"/><circle cx=\"60\" cy=\"40\" r=\"30\" fill=\"#36c\"/>
</svg>
";

pub(super) const TEXT: &str = "This is a text. The header field says that it is a JPEG.\n";

pub(super) const ROBOTS: &str = "User-agent: *\nDisallow: /private/\n";
