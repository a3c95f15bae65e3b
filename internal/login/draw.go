package login

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
)

// Pages draws the pages. It is safe for concurrent use.
type Pages struct {
	box         *interaction.Box
	languages   map[string]*texts
	templates   map[string]*template.Template
	style, mark asset
}

// NewPages makes the pages of one server. The box gives the forms their
// tokens and knows the browser's cookies.
func NewPages(box *interaction.Box) *Pages {
	p := &Pages{
		box:       box,
		languages: languages(),
		templates: map[string]*template.Template{},
		style:     loadAsset("gatehouse.css", "text/css; charset=utf-8"),
		mark:      loadAsset("mark.svg", "image/svg+xml"),
	}
	frame := template.Must(template.New("frame.html").Funcs(template.FuncMap{"fill": fill, "plain": plain}).ParseFS(pageFiles, "pages/frame.html"))
	for _, name := range []string{"signin", "consent", "signout", "notice", "error", "formpost", "account"} {
		p.templates[name] = template.Must(template.Must(frame.Clone()).ParseFS(pageFiles, "pages/"+name+".html"))
	}
	return p
}

// frame is what every page shows.
type frame struct {
	T          *texts
	TenantName string
	// Look is the style sheet of the tenant's colour, "" without one.
	Style, Look, Mark string
	// Logo is the tenant's, our mark without one.
	Logo string
	// MainID is the id of the main element, for tests and automation.
	MainID string
	// Width is a class of the main element.
	Width string
}

// frame prepares a page in the language that the request asks for: by
// ui_locales, which the interaction carries on, else by the browser's own.
func (p *Pages) frame(r *endpoint.Request, mainID string) frame {
	return p.frameIn(r, mainID, strings.Fields(r.URL.Query().Get("ui_locales")))
}

func (p *Pages) frameIn(r *endpoint.Request, mainID string, uiLocales []string) frame {
	settings := r.Tenant.Settings
	f := frame{
		T:          pickLanguage(p.languages, uiLocales, r.Header.Get("Accept-Language")),
		TenantName: displayed(settings.Name),
		Style:      r.Path(p.style.path), Look: lookOf(r), Mark: r.Path(p.mark.path),
		Logo:   linked(settings.LogoURI),
		MainID: mainID,
	}
	if f.Logo == "" {
		f.Logo = f.Mark
	}
	return f
}

// show answers with a page. A template that fails is a defect of the program.
func (p *Pages) show(w http.ResponseWriter, r *endpoint.Request, status int, name string, view any, may policy) {
	var body bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&body, "frame", view); err != nil {
		panic(fmt.Errorf("page %s: %w", name, err))
	}
	may.load(r.Tenant.Settings.LogoURI)
	may.headers(w.Header())
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// clientView is a client as pages show it.
type clientView struct {
	Name, Initial              string
	LogoURI, PolicyURI, TosURI string
}

func viewOf(client gatehouse.Client) clientView {
	name := displayed(client.DisplayName())
	return clientView{
		Name: name, Initial: initialOf(name),
		LogoURI: linked(client.LogoURI), PolicyURI: linked(client.PolicyURI), TosURI: linked(client.TosURI),
	}
}

// initialOf stands for a name that has no picture.
func initialOf(name string) string {
	initial, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }))
	if initial == utf8.RuneError {
		initial = '·'
	}
	return string(unicode.ToUpper(initial))
}

// linked returns a URI that pages may link to or load, or "" for any other.
func linked(uri string) string {
	if scheme, _, _ := strings.Cut(uri, ":"); scheme == "https" || scheme == "http" {
		return uri
	}
	return ""
}

// maxDisplayed bounds names on pages, in characters.
const maxDisplayed = 80

// displayed returns a name as pages show it: one line, without characters
// that reorder or hide others, and not endless.
func displayed(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), unicode.Is(unicode.Noncharacter_Code_Point, r), r == '\u200b', r == '\ufeff':
			return -1
		}
		return r
	}, name)
	name = strings.Join(strings.Fields(name), " ")
	if runes := []rune(name); len(runes) > maxDisplayed {
		return string(runes[:maxDisplayed-1]) + "…"
	}
	return name
}

// fill returns a sentence with values for its names in braces, each escaped,
// set apart from the text around it and from its direction of writing.
func fill(sentence string, pairs ...string) template.HTML {
	var replacements []string
	for i := 0; i+1 < len(pairs); i += 2 {
		replacements = append(replacements, "{"+pairs[i]+"}", "<strong><bdi>"+template.HTMLEscapeString(pairs[i+1])+"</bdi></strong>")
	}
	return template.HTML(strings.NewReplacer(replacements...).Replace(template.HTMLEscapeString(sentence)))
}

// plain is fill for text without markup.
func plain(sentence string, pairs ...string) string {
	var replacements []string
	for i := 0; i+1 < len(pairs); i += 2 {
		replacements = append(replacements, "{"+pairs[i]+"}", pairs[i+1])
	}
	return strings.NewReplacer(replacements...).Replace(sentence)
}
