package login

import "strings"

// sign is a part of a User-Agent header that gives a browser or a system
// away, and what people call it.
type sign struct{ part, name string }

// browserSigns in the order in which they are looked for: browsers name those
// that they want to be taken for, too.
var browserSigns = []sign{
	{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"OPX/", "Opera"}, {"Vivaldi/", "Vivaldi"},
	{"SamsungBrowser/", "Samsung Internet"}, {"DuckDuckGo/", "DuckDuckGo"}, {"YaBrowser/", "Yandex"},
	{"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"},
	{"Safari/", "Safari"}, {"Trident/", "Internet Explorer"}, {"curl/", "curl"},
}

var systemSigns = []sign{
	{"iPhone", "iOS"}, {"iPod", "iOS"}, {"iPad", "iPadOS"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"},
	{"Macintosh", "macOS"}, {"Mac OS X", "macOS"}, {"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"}, {"Linux", "Linux"}, {"X11", "Unix"},
}

func nameOf(signs []sign, userAgent string) string {
	for _, s := range signs {
		if strings.Contains(userAgent, s.part) {
			return s.name
		}
	}
	return ""
}

// deviceNamed says in plain words which browser a User-Agent header stands
// for. It is a hint to people: anyone can send any header.
func deviceNamed(t *texts, userAgent string) string {
	browser, system := nameOf(browserSigns, userAgent), nameOf(systemSigns, userAgent)
	switch {
	case browser == "" && system == "":
		return t.DeviceUnknown
	case browser == "":
		return plain(t.BrowserUnknown, "system", system)
	case system == "":
		return browser
	}
	return plain(t.DeviceOn, "browser", browser, "system", system)
}
