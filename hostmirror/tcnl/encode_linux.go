package tcnl

import (
	"encoding/binary"
	"math"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// addMirror builds the request that makes m. The action's verdict is always
// Continue and its mode always EgressMirror: with another verdict foreign filters
// behind ours would no longer be asked, with another mode the frame itself or the
// host's own stack would be concerned. The kernel is asked to tell the handle that it
// chooses.
func addMirror(m Mirror) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK|unix.NLM_F_ECHO)
	req.AddData(&nl.TcMsg{
		Family:  unix.AF_UNSPEC,
		Ifindex: int32(m.Ifindex),
		Parent:  m.Hook.Parent(),
		Info:    info(m.Priority, ProtocolAll),
	})
	req.AddData(nl.NewRtAttr(tcaKind, nl.ZeroTerminated(m.Kind)))
	options := nl.NewRtAttr(tcaOptions, nil)
	switch m.Kind {
	case U32:
		options.AddRtAttr(u32Sel, u32MatchAll())
	case BPF:
		program := m.Program
		if len(program) == 0 {
			program = bpfMatchAll
		}
		options.AddRtAttr(bpfOpsLen, nl.Uint16Attr(uint16(len(program))))
		options.AddRtAttr(bpfOps, encodeProgram(program))
	}
	actions := options.AddRtAttr(int(actionsOf[m.Kind]), nil)
	order := 1 // of execution, from 1
	add := func(kind string) *nl.RtAttr {
		a := actions.AddRtAttr(order, nil)
		order++
		a.AddRtAttr(actKind, nl.ZeroTerminated(kind))
		if kind != "mirred" || m.Action == 0 { // an action that is there keeps its own
			a.AddRtAttr(actCookie, m.Cookie[:])
		}
		return a.AddRtAttr(actOptions, nil)
	}
	if m.OneIn > 1 {
		o := add("gact")
		o.AddRtAttr(gactParms, generic(gactSize, Continue))
		o.AddRtAttr(gactProb, chance(m.OneIn))
	}
	parms := mirredMirror(m.Target)
	native.PutUint32(parms, m.Action)
	add("mirred").AddRtAttr(mirredParms, parms)
	req.AddData(options)
	return req
}

// generic begins the parameters of an action, with struct tc_gen: index (0 = the kernel
// chooses), capab, action, refcnt, bindcnt.
func generic(size int, verdict Verdict) []byte {
	b := make([]byte, size)
	native.PutUint32(b[8:], uint32(verdict))
	return b
}

// chance is struct tc_gact_p: ptype, pval, paction. Of the frames that are counted, one in
// n goes on to the next action, and the others end with the action's verdict.
func chance(n uint16) []byte {
	b := make([]byte, chanceSize)
	native.PutUint16(b, uint16(Determ))
	native.PutUint16(b[2:], n)
	native.PutUint32(b[4:], uint32(Pipe))
	return b
}

// mirredMirror is struct tc_mirred: tc_gen, eaction, ifindex.
func mirredMirror(target int) []byte {
	b := generic(mirredSize, Continue)
	native.PutUint32(b[20:], uint32(EgressMirror))
	native.PutUint32(b[24:], uint32(target))
	return b
}

// u32MatchAll is struct tc_u32_sel with one key of mask 0, which is "match u32 0 0".
// The kernel refuses a selector without a key.
func u32MatchAll() []byte {
	b := make([]byte, u32SelSize+u32KeySize)
	b[0] = u32Terminal
	b[2] = 1
	return b
}

// bpfMatchAll is the program "return -1", in bytecode "1,6 0 0 4294967295".
var bpfMatchAll = []Instruction{{Code: bpfRetK, K: math.MaxUint32}}

func encodeProgram(program []Instruction) []byte {
	b := make([]byte, 0, len(program)*bpfInsnSize)
	for _, in := range program {
		b = native.AppendUint16(b, in.Code)
		b = append(b, in.JT, in.JF)
		b = native.AppendUint32(b, in.K)
	}
	return b
}

func deleteFilter(id ID) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_DELTFILTER, unix.NLM_F_ACK)
	addIdentity(req, id)
	return req
}

func addIdentity(req *nl.NetlinkRequest, id ID) {
	req.AddData(&nl.TcMsg{
		Family:  unix.AF_UNSPEC,
		Ifindex: int32(id.Ifindex),
		Handle:  id.Handle,
		Parent:  id.Hook.Parent(),
		Info:    info(id.Priority, id.Protocol),
	})
	req.AddData(nl.NewRtAttr(tcaKind, nl.ZeroTerminated(id.Kind)))
	if id.Chain != 0 {
		req.AddData(nl.NewRtAttr(tcaChain, nl.Uint32Attr(id.Chain)))
	}
}

// getFilter asks for one filter. Like a delete it needs the full identity.
func getFilter(id ID) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_GETTFILTER, 0)
	addIdentity(req, id)
	return req
}

func listFilters(ifindex int, hook Hook) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_GETTFILTER, unix.NLM_F_DUMP)
	req.AddData(&nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(ifindex), Parent: hook.Parent()})
	return req
}

func listQdiscs(ifindex int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_GETQDISC, unix.NLM_F_DUMP)
	req.AddData(&nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(ifindex)})
	return req
}

// addClsact has NLM_F_EXCL, so that a qdisc that is there is never replaced.
func addClsact(ifindex int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{
		Family:  unix.AF_UNSPEC,
		Ifindex: int32(ifindex),
		Handle:  0xffff0000,
		Parent:  clsactParent,
	})
	req.AddData(nl.NewRtAttr(tcaKind, nl.ZeroTerminated("clsact")))
	return req
}

// clsactParent is TC_H_CLSACT, the same number as TC_H_INGRESS.
const clsactParent = 0xfffffff1

// info packs priority and protocol as tcm_info has them.
func info(priority, protocol uint16) uint32 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], protocol)
	return uint32(priority)<<16 | uint32(native.Uint16(b[:]))
}
