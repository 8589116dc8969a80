package nxos

import "regexp"

// limits are what differs between models of Nexus 9000. Zero values are not known.
type limits struct {
	model   *regexp.Regexp // of the model in "show version", such as C93180YC-FX3
	vlanTx  bool           // VLANs can be sources in all directions, else in rx only
	mtuMin  int            // lowest "mtu" of a session
	mtuMax  int            // highest
	sources string
}

// known are the models whose limits a public text tells. The first match counts.
var known = []limits{
	{model: regexp.MustCompile(`^C93\w+-EX$`), vlanTx: true, mtuMin: 320, mtuMax: 1518, sources: "[g10]; SPAN truncation, 9300-EX"},
	{model: regexp.MustCompile(`^C93\w+-(FX|FX2|FX3|GX)\w?$`), vlanTx: true, sources: "[g10]"},
	{model: regexp.MustCompile(`^C92`), vlanTx: true, sources: `"VLAN Tx SPAN is supported on the Cisco Nexus 9200", guide 9.3(x)`},
	{model: regexp.MustCompile(`^C93\w+(-E|-TX|PQ|TX)?$`), sources: "[g10]: all other switches"},
}

// limitsOf gives the limits of a model, and false where nothing is known of it: of
// modular switches, whose line cards differ, and of models that came later.
func limitsOf(model string) (limits, bool) {
	for _, l := range known {
		if l.model.MatchString(model) {
			return l, true
		}
	}
	return limits{}, false
}
