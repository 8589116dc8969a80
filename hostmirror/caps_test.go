package hostmirror

import (
	"testing"

	"github.com/spanctl/spanctl/models"
)

func TestCapabilities(t *testing.T) {
	caps := capabilities()
	for _, f := range models.Features() {
		c, ok := caps.Claims[f]
		switch {
		case !ok:
			t.Errorf("%s: nothing is claimed", f)
		case c.Support == models.No && c.Why == "":
			t.Errorf("%s: no reason why not", f)
		case c.Support != models.No && (c.Source == "" || c.Evidence != models.EvidenceLab):
			t.Errorf("%s: claimed without evidence", f)
		}
	}
	if c := caps.Of(models.FeatureConfirm); c.Support != models.Emulated {
		t.Errorf("confirm is %q; the kernel has no way back of its own", c.Support)
	}
}
