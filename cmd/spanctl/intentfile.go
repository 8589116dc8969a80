package main

import (
	"bytes"
	"encoding/json"

	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/models"
)

// encodeIntent writes an intent as the YAML of an intent file. It goes by way of
// JSON, whose encoder leaves out exactly what is zero and keeps the order of the
// fields.
func encodeIntent(in models.Intent) ([]byte, error) {
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return nil, err
	}
	blockStyle(&node)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

// blockStyle takes the style of JSON off: quotes where YAML needs none, and
// brackets but those of lists of plain values.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.SequenceNode && len(n.Content) > 0 && n.Content[0].Kind == yaml.ScalarNode {
		n.Style = yaml.FlowStyle
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}
