package dev

import (
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// doorCount is how many doors the stage has.
var doorCount = len(new(ports).all())

// freePorts returns a port that is free with those after it, one for each door.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		l, err := listenAt(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		free := port+doorCount <= maxPort
		for after := 1; free && after < doorCount; after++ {
			next, err := listenAt(t.Context(), port+after)
			if free = err == nil; free {
				_ = next.Close()
			}
		}
		_ = l.Close()
		if free {
			return port
		}
	}
	t.Fatal("not enough free ports in a row")
	return 0
}

func occupy(t *testing.T, port int) {
	t.Helper()
	l, err := listenAt(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}

func TestListenTakesPortsInARow(t *testing.T) {
	port := freePorts(t)
	doors, err := listen(t.Context(), wish{port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer doors.close()
	for after, l := range doors.all() {
		if portOf(*l) != port+after {
			t.Errorf("door %d listens on %v", after, (*l).Addr())
		}
		if !strings.HasPrefix(origin(*l), "http://127.0.0.1:") {
			t.Errorf("%s is not on the loopback address", origin(*l))
		}
	}
}

func TestListenGoesRoundTakenNeighbours(t *testing.T) {
	port := freePorts(t)
	occupy(t, port+1)
	doors, err := listen(t.Context(), wish{port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer doors.close()
	if portOf(doors.issuer) != port || portOf(doors.playground) == port+1 || portOf(doors.api) != port+2 {
		t.Errorf("listens on %v, %v and %v", doors.issuer.Addr(), doors.playground.Addr(), doors.api.Addr())
	}
}

func TestListenPortZero(t *testing.T) {
	one, err := listen(t.Context(), wish{port: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer one.close()
	two, err := listen(t.Context(), wish{port: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer two.close()
	if portOf(one.issuer) == portOf(two.issuer) {
		t.Error("two stages on one port")
	}
}

func TestTakenPortSaysWhatToType(t *testing.T) {
	port := freePorts(t)
	occupy(t, port)
	_, err := listen(t.Context(), wish{port: port})
	if err == nil {
		t.Fatal("a taken port was taken twice")
	}
	for _, want := range []string{"port " + strconv.Itoa(port) + " is taken", "gatehouse dev --port 0"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	suggested := regexp.MustCompile(`gatehouse dev --port ([1-9]\d+)`).FindStringSubmatch(err.Error())
	if suggested == nil {
		t.Fatalf("%q suggests no port", err)
	}
	other, _ := strconv.Atoi(suggested[1])
	doors, err := listen(t.Context(), wish{port: other})
	if err != nil {
		t.Fatalf("the suggested port: %v", err)
	}
	doors.close()
}

func TestPortsThatDoNotExist(t *testing.T) {
	for _, port := range []int{-1, maxPort + 1} {
		if _, err := listen(t.Context(), wish{port: port}); err == nil || !strings.Contains(err.Error(), "1 to 65535") {
			t.Errorf("port %d: %v", port, err)
		}
	}
}

// inARow are the ports of doors that stand side by side.
func inARow(port int) (p ports) {
	for after, one := range p.all() {
		*one = port + after
	}
	return p
}

func TestListenComesHome(t *testing.T) {
	home := freePorts(t)
	last := inARow(home)
	for name, w := range map[string]wish{
		"nothing asked":  {port: DefaultPort, last: last},
		"any port":       {port: 0, last: last},
		"any port given": {port: 0, given: true, last: last},
		"the same port":  {port: home, given: true, last: last},
	} {
		doors, err := listen(t.Context(), w)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if doors.ports() != last {
			t.Errorf("%s: %+v, want %+v", name, doors.ports(), last)
		}
		doors.close()
	}
}

func TestListenMovesOnlyWhatMust(t *testing.T) {
	home, elsewhere := freePorts(t), freePorts(t)
	last := inARow(home)
	at := func(w wish) ports {
		t.Helper()
		doors, err := listen(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		defer doors.close()
		return doors.ports()
	}
	if elsewhere+doorCount < home || home+doorCount < elsewhere {
		want := last
		want.Issuer = elsewhere
		if got := at(wish{port: elsewhere, given: true, last: last}); got != want {
			t.Errorf("another port was asked for: %+v", got)
		}
	}
	// The playground's place is asked for; the API, which is next to it, stays.
	if got := at(wish{port: home + 1, given: true, last: last}); got.Issuer != home+1 || got.API != home+2 || got.Playground == 0 {
		t.Errorf("the playground's port was asked for: %+v", got)
	}
	occupy(t, home+2)
	if got := at(wish{port: DefaultPort, last: last}); got.Issuer != home || got.Playground != home+1 || got.API == home+2 {
		t.Errorf("the API's port is taken: %+v", got)
	}
	occupy(t, home)
	if got := at(wish{last: last}); got.Issuer == home || got.Issuer == 0 || got.Playground != home+1 {
		t.Errorf("the issuer's port is taken and any would do: %+v", got)
	}
	if _, err := listen(t.Context(), wish{port: DefaultPort, last: last}); err == nil || !strings.Contains(err.Error(), "port "+strconv.Itoa(home)+" is taken") {
		t.Errorf("the issuer moved without being asked: %v", err)
	}
}

func TestPortsThatWereNone(t *testing.T) {
	if got := (ports{Issuer: -1, Playground: 70000, API: 8082}).sound(); got != (ports{API: 8082}) {
		t.Errorf("%+v", got)
	}
}
