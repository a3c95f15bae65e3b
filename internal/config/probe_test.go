package config
import ("testing";"fmt";"strings";"time"
"github.com/goccy/go-yaml/parser"
"github.com/goccy/go-yaml/ast"
)
func dump(n ast.Node, d int) {
	if n==nil {fmt.Println(strings.Repeat(" ",d),"nil");return}
	fmt.Printf("%s%T tok=%q @%d:%d\n", strings.Repeat(" ",d), n, n.GetToken().Value, n.GetToken().Position.Line, n.GetToken().Position.Column)
	switch x:=n.(type){
	case *ast.MappingNode: for _,v:=range x.Values { dump(v,d+1)}
	case *ast.MappingValueNode: dump(x.Key,d+1); dump(x.Value,d+1)
	case *ast.SequenceNode: for _,v:=range x.Values { dump(v,d+1)}
	case *ast.TagNode: dump(x.Value,d+1)
	case *ast.AnchorNode: dump(x.Value,d+1)
	case *ast.MappingKeyNode: dump(x.Value,d+1)
	case *ast.LiteralNode: fmt.Printf("%q\n",x.Value.Value)
	case *ast.StringNode: fmt.Printf("%q\n",x.Value)
	case *ast.IntegerNode: fmt.Printf("%v %T\n",x.Value,x.Value)
	}
}
func TestProbe(t *testing.T){
	for _,s:=range []string{"a: 1\nb:\n  - x\n  - y: 2\n    z: 'q'\nc: |\n  hello\n  x\nd: {e: f, \"g\": 0x10, h: 010, i: 0o7, j: 1_000}\nn:\nm: ~\n","a: 1\n---\nb: 2\n","a: &x 1\nb: *x\n","","# c\n","a: 1\na: 2\n","a: [1","- 1\n","? [a, b]\n: c\n","a: !!str 5\nt: !foo x\n","<<: {a: 1}\n","true: 1\n1: 2\n","a: b: c\n","\ta: 1\n","a: \"\\x\"\n","just text","a:\r\n  b: 1\r\n","\ufeffa: 1\n","%YAML 1.2\n---\na: 1\n","---\n","---\na: 1\n...\n","a: 10m\nb: 1e3\nc: .inf\nd: yes\ne: 2024-01-01\nf: 12:30\n", "a: x #comment\nb: y\n", "{a: 1, a: 2}", "a: 1\n---\n"} {
		fmt.Printf("=== %q\n",s)
		f,err:=parser.ParseBytes([]byte(s),0)
		if err!=nil { fmt.Printf("ERR %T %v\n",err,err); continue}
		for _,d:=range f.Docs { fmt.Println("DOC", d.Body==nil); if d.Body!=nil {dump(d.Body,1)} }
	}
	for _,n:=range []int{1000,10000} {
	for _,c:=range []string{"[","{a: ","- ","? ","!!a ","&a ","a:\n"} {
		s:=time.Now(); _,err:=parser.ParseBytes([]byte(strings.Repeat(c,n)),0)
		e:=""; if err!=nil {e=err.Error(); if len(e)>80{e=e[:80]}}
		fmt.Printf("%q x %d %v %q\n",c,n,time.Since(s),e)
	}}
}
