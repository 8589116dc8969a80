package inside_test

import (
	"errors"
	"testing"

	"github.com/vishvananda/netns"

	"github.com/spanctl/spanctl/hostmirror/internal/inside"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
)

func TestDo(t *testing.T) {
	own, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	other := kerneltest.NewNS(t)
	for name, ns := range map[string]netns.NsHandle{"our own": own, "another": netns.NsHandle(other.FD())} {
		err := inside.Do(ns, func() error {
			here, err := netns.Get()
			if err != nil {
				return err
			}
			defer here.Close()
			if !here.Equal(ns) {
				return errors.New("not in the namespace")
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	here, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	if !here.Equal(own) {
		t.Error("the test itself has moved")
	}
	if err := inside.Do(netns.None(), func() error { return nil }); err == nil {
		t.Error("no namespace: no error")
	}
}
