-- Wireshark dissector of NetClone: format v1, and the 28-byte header of the paper's prototype.
--
-- Copy it into Wireshark's folder of Lua plugins (Help, About, Folders), or
--     tshark -X lua_script:netclone.lua -r capture.pcap
-- Fields begin with `netclone.` and `netclone28.`. The preferences of the protocol NETCLONE say on which
-- UDP and TCP ports they are looked for: v1 on 9043, the prototype's nowhere unless said.
-- Over TCP only messages at the beginning of a segment are seen.

local V1_LENGTH = 40
local COMPAT_LENGTH = 28
local MAGIC = 0x4e43

local TYPES = {
  [1] = "REQ", [2] = "RESP", [3] = "WREQ", [4] = "WRESP",
  [5] = "PING", [6] = "PONG", [7] = "CFG", [8] = "NACK",
}
local CLONES = { [0] = "not cloned", [1] = "original of a pair", [2] = "clone" }
local LOADS = { [0] = "idle", [0xfffe] = "or more", [0xffff] = "draining" }
local SIDS = { [0xffff] = "none" }
local REASONS = { [1] = "no server is live", [2] = "bad group", [3] = "bad table", [4] = "write to the VIP" }
local TO_SERVER = { [1] = true, [3] = true, [5] = true }
local FROM_SERVER = { [2] = true, [4] = true, [6] = true }

-- Which kind of message answers which.
local ANSWERS = { [2] = 1, [4] = 3, [6] = 5 }

local netclone = Proto("netclone", "NetClone")
local compat = Proto("netclone28", "NetClone (28-byte header)")

local f = {
  magic = ProtoField.uint16("netclone.magic", "Magic", base.HEX),
  version = ProtoField.uint8("netclone.version", "Version", base.DEC, nil, 0xf0),
  hlen = ProtoField.uint8("netclone.hlen", "Header length in words", base.DEC, nil, 0x0f),
  type = ProtoField.uint8("netclone.type", "Type", base.DEC, TYPES),
  flags = ProtoField.uint8("netclone.flags", "Flags", base.HEX),
  cid = ProtoField.bool("netclone.flags.cid", "CID: id chosen by the client", 8, nil, 0x01),
  noclone = ProtoField.bool("netclone.flags.noclone", "NOCLONE: cloning forbidden", 8, nil, 0x02),
  retx = ProtoField.bool("netclone.flags.retx", "RETX: retransmission", 8, nil, 0x04),
  det = ProtoField.bool("netclone.flags.det", "DET: same bytes on every replica", 8, nil, 0x08),
  flags_rest = ProtoField.uint8("netclone.flags.reserved", "Reserved", base.HEX, nil, 0xf0),
  clo = ProtoField.uint8("netclone.clo", "CLO", base.DEC, CLONES),
  idx = ProtoField.uint8("netclone.idx", "IDX: filter table", base.DEC),
  reserved1 = ProtoField.uint8("netclone.reserved1", "Reserved", base.HEX),
  swid = ProtoField.uint16("netclone.swid", "SWID: appliance", base.DEC),
  sid = ProtoField.uint16("netclone.sid", "SID: server", base.DEC),
  grp = ProtoField.uint32("netclone.grp", "GRP: group", base.DEC),
  load = ProtoField.uint16("netclone.load", "LOAD: waiting requests", base.DEC),
  reason = ProtoField.uint16("netclone.nack.reason", "Reason", base.DEC, REASONS),
  groups = ProtoField.uint32("netclone.cfg.groups", "Number of groups", base.DEC),
  tables = ProtoField.uint8("netclone.cfg.tables", "Number of filter tables", base.DEC),
  pkt_idx = ProtoField.uint8("netclone.pkt_idx", "PKT_IDX: packet", base.DEC),
  pkt_cnt = ProtoField.uint8("netclone.pkt_cnt", "PKT_CNT: packets", base.DEC),
  cfg_gen = ProtoField.uint16("netclone.cfg_gen", "CFG_GEN: generation of the group table", base.DEC),
  reserved2 = ProtoField.uint16("netclone.reserved2", "Reserved", base.HEX),
  req_id = ProtoField.uint64("netclone.req_id", "REQ_ID", base.HEX),
  epoch = ProtoField.uint16("netclone.req_id.epoch", "Epoch", base.DEC),
  core = ProtoField.uint8("netclone.req_id.core", "Core", base.DEC),
  seq = ProtoField.uint64("netclone.req_id.seq", "Sequence number", base.DEC),
  client_id = ProtoField.uint32("netclone.client_id", "CLIENT_ID", base.HEX),
  client_seq = ProtoField.uint32("netclone.client_seq", "CLIENT_SEQ", base.DEC),
  extra = ProtoField.bytes("netclone.extra", "Extra words of the header"),
  payload = ProtoField.bytes("netclone.payload", "Payload"),
  response_in = ProtoField.framenum("netclone.response_in", "Answered in", base.NONE, frametype.RESPONSE),
  response_to = ProtoField.framenum("netclone.response_to", "Answer to", base.NONE, frametype.REQUEST),
  time = ProtoField.relative_time("netclone.time", "Time since the request"),
}

local e = {
  short = ProtoExpert.new("netclone.short", "Shorter than the header", expert.group.MALFORMED, expert.severity.ERROR),
  magic = ProtoExpert.new("netclone.bad_magic", "MAGIC is not 0x4e43", expert.group.MALFORMED, expert.severity.ERROR),
  version = ProtoExpert.new("netclone.bad_version", "Version is not 1", expert.group.MALFORMED, expert.severity.ERROR),
  hlen = ProtoExpert.new("netclone.bad_hlen", "Header length below 10 words or beyond the message", expert.group.MALFORMED, expert.severity.ERROR),
  type = ProtoExpert.new("netclone.bad_type", "TYPE is not known", expert.group.MALFORMED, expert.severity.ERROR),
  direction = ProtoExpert.new("netclone.bad_direction", "TYPE does not agree with the port", expert.group.PROTOCOL, expert.severity.WARN),
  clo = ProtoExpert.new("netclone.bad_clo", "CLO is over 2", expert.group.MALFORMED, expert.severity.ERROR),
  packet = ProtoExpert.new("netclone.bad_packet", "PKT_CNT is 0, or PKT_IDX not below it", expert.group.MALFORMED, expert.severity.ERROR),
  req_id = ProtoExpert.new("netclone.no_req_id", "Cloned, or with the flag CID, but REQ_ID is 0", expert.group.PROTOCOL, expert.severity.WARN),
  reserved = ProtoExpert.new("netclone.reserved", "Reserved bits are set", expert.group.PROTOCOL, expert.severity.NOTE),
  redundant = ProtoExpert.new("netclone.redundant", "The request has been answered already", expert.group.SEQUENCE, expert.severity.NOTE),
  no_answer = ProtoExpert.new("netclone.unanswered", "No answer in this capture", expert.group.SEQUENCE, expert.severity.NOTE),
}

local c = {
  op = ProtoField.uint32("netclone28.op", "OP", base.DEC, { [0] = "request", [1] = "response", [2] = "write", [3] = "answer to a write" }),
  seq = ProtoField.uint32("netclone28.seq", "SEQ: request id", base.DEC),
  grp = ProtoField.uint32("netclone28.grp", "GRP: group, from 1", base.DEC),
  sid = ProtoField.uint32("netclone28.sid", "SID: server", base.DEC),
  load = ProtoField.uint32("netclone28.load", "LOAD: waiting requests", base.DEC),
  clo = ProtoField.uint32("netclone28.clo", "CLO", base.DEC, CLONES),
  idx = ProtoField.uint32("netclone28.idx", "IDX: filter table", base.DEC),
  payload = ProtoField.bytes("netclone28.payload", "Payload"),
}

local ce = {
  short = ProtoExpert.new("netclone28.short", "Shorter than the header", expert.group.MALFORMED, expert.severity.ERROR),
  op = ProtoExpert.new("netclone28.bad_op", "OP is not known", expert.group.MALFORMED, expert.severity.ERROR),
  clo = ProtoExpert.new("netclone28.bad_clo", "CLO is over 2", expert.group.MALFORMED, expert.severity.ERROR),
}

netclone.fields = f
netclone.experts = e
compat.fields = c
compat.experts = ce

netclone.prefs.ports = Pref.range("Ports of v1", "9043", "UDP and TCP ports of format v1", 65535)
netclone.prefs.compat28_ports =
  Pref.range("Ports of the 28-byte header", "", "UDP and TCP ports of the prototype's header", 65535)

-- Requests by who asks whom what: frame and time of the last one.
local asked = {}
-- By frame: the frames and times that belong together. Filled once, when a frame is first seen.
local answered_in = {}
local answer_to = {}
local redundant = {}

function netclone.init()
  asked, answered_in, answer_to, redundant = {}, {}, {}, {}
end

local function has_port(text, port)
  for from, to in tostring(text):gmatch("(%d+)%-?(%d*)") do
    from = tonumber(from)
    to = tonumber(to) or from
    if from <= port and port <= to then
      return true
    end
  end
  return false
end

local function match(pinfo, key, is_request)
  local number = pinfo.number
  if is_request then
    asked[key] = { number = number, time = pinfo.rel_ts }
    return
  end
  local request = asked[key]
  if not request then
    return
  end
  answer_to[number] = { number = request.number, after = pinfo.rel_ts - request.time }
  if answered_in[request.number] then
    redundant[number] = true
  else
    answered_in[request.number] = number
  end
end

local function show_match(tree, pinfo, is_request)
  local number = pinfo.number
  if is_request then
    if answered_in[number] then
      tree:add(f.response_in, answered_in[number]):set_generated()
    elseif pinfo.visited then
      tree:add_proto_expert_info(e.no_answer)
    end
    return
  end
  local to = answer_to[number]
  if to then
    tree:add(f.response_to, to.number):set_generated()
    local seconds = math.floor(to.after)
    local rest = math.floor((to.after - seconds) * 1e9 + 0.5)
    tree:add(f.time, NSTime.new(seconds, rest)):set_generated()
  end
  if redundant[number] then
    tree:add_proto_expert_info(e.redundant)
  end
end

local function malformed(pinfo, tree, what, why)
  tree:add_proto_expert_info(what)
  pinfo.cols.info:append(" [" .. why .. "]")
end

-- A number, of which a few values have a name.
local function add_named(tree, field, range, names)
  local item = tree:add(field, range)
  local name = names[range:uint()]
  if name then
    item:append_text(" (" .. name .. ")")
  end
end

local function dissect_v1(tvb, pinfo, root, is_tcp)
  local length = tvb:len()
  if is_tcp and (length < V1_LENGTH or tvb(0, 2):uint() ~= MAGIC) then
    return 0
  end
  pinfo.cols.protocol = "NetClone"
  pinfo.cols.info = "NetClone"
  local tree = root:add(netclone, tvb())
  if length < V1_LENGTH then
    malformed(pinfo, tree, e.short, "short")
    return length
  end
  local is_v1 = tree:add(f.magic, tvb(0, 2))
  if tvb(0, 2):uint() ~= MAGIC then
    malformed(pinfo, is_v1, e.magic, "bad MAGIC")
    return length
  end
  local item = tree:add(f.version, tvb(2, 1))
  if tvb(2, 1):bitfield(0, 4) ~= 1 then
    malformed(pinfo, item, e.version, "bad version")
    return length
  end
  item = tree:add(f.hlen, tvb(2, 1))
  local header = tvb(2, 1):bitfield(4, 4) * 4
  if header < V1_LENGTH or header > length then
    malformed(pinfo, item, e.hlen, "bad header length")
    return length
  end

  local kind = tvb(3, 1):uint()
  local clo = tvb(5, 1):uint()
  local id = tvb(24, 8):uint64()
  local has_cid = tvb(4, 1):bitfield(7, 1) == 1
  local from_appliance = kind == 7 or kind == 8
  pinfo.cols.info = TYPES[kind] or ("type " .. kind)

  item = tree:add(f.type, tvb(3, 1))
  if not TYPES[kind] then
    malformed(pinfo, item, e.type, "bad TYPE")
  end
  if not is_tcp then
    local to = has_port(netclone.prefs.ports, pinfo.dst_port)
    local from = has_port(netclone.prefs.ports, pinfo.src_port)
    if to ~= from and ((to and FROM_SERVER[kind]) or (from and TO_SERVER[kind])) then
      malformed(pinfo, item, e.direction, "bad direction")
    end
  end
  local flags = tree:add(f.flags, tvb(4, 1))
  for _, field in ipairs({ f.cid, f.noclone, f.retx, f.det, f.flags_rest }) do
    flags:add(field, tvb(4, 1))
  end
  if tvb(4, 1):bitfield(0, 4) ~= 0 then
    flags:add_proto_expert_info(e.reserved)
  end
  item = tree:add(f.clo, tvb(5, 1))
  if clo > 2 then
    malformed(pinfo, item, e.clo, "bad CLO")
  end
  tree:add(from_appliance and f.tables or f.idx, tvb(6, 1))
  item = tree:add(f.reserved1, tvb(7, 1))
  if tvb(7, 1):uint() ~= 0 then
    item:add_proto_expert_info(e.reserved)
  end
  tree:add(f.swid, tvb(8, 2))
  add_named(tree, f.sid, tvb(10, 2), SIDS)
  tree:add(from_appliance and f.groups or f.grp, tvb(12, 4))
  if kind == 8 then
    tree:add(f.reason, tvb(16, 2))
  else
    add_named(tree, f.load, tvb(16, 2), LOADS)
  end
  tree:add(f.pkt_idx, tvb(18, 1))
  item = tree:add(f.pkt_cnt, tvb(19, 1))
  if tvb(18, 1):uint() >= tvb(19, 1):uint() then
    malformed(pinfo, item, e.packet, "bad packet number")
  end
  tree:add(f.cfg_gen, tvb(20, 2))
  item = tree:add(f.reserved2, tvb(22, 2))
  if tvb(22, 2):uint() ~= 0 then
    item:add_proto_expert_info(e.reserved)
  end
  item = tree:add(f.req_id, tvb(24, 8))
  if id == UInt64(0) and (clo > 0 or has_cid) then
    item:add_proto_expert_info(e.req_id)
  elseif id ~= UInt64(0) and not has_cid then
    item:add(f.epoch, tvb(24, 2))
    item:add(f.core, tvb(26, 1))
    item:add(f.seq, tvb(27, 5))
  end
  tree:add(f.client_id, tvb(32, 4))
  tree:add(f.client_seq, tvb(36, 4))
  if header > V1_LENGTH then
    tree:add(f.extra, tvb(V1_LENGTH, header - V1_LENGTH))
  end
  if length > header then
    tree:add(f.payload, tvb(header, length - header))
  end

  local client = string.format("client %x seq %d", tvb(32, 4):uint(), tvb(36, 4):uint())
  pinfo.cols.info:append(" " .. client)
  if TO_SERVER[kind] then
    pinfo.cols.info:append(" GRP " .. tvb(12, 4):uint())
  elseif FROM_SERVER[kind] then
    pinfo.cols.info:append(" SID " .. tvb(10, 2):uint() .. " LOAD " .. tvb(16, 2):uint())
  end
  if clo > 0 then
    pinfo.cols.info:append(" CLO " .. clo)
  end
  if tvb(19, 1):uint() > 1 then
    pinfo.cols.info:append(string.format(" packet %d of %d", tvb(18, 1):uint() + 1, tvb(19, 1):uint()))
  end

  -- Packet 0 stands for its message. A response comes back between the same two addresses.
  if (TO_SERVER[kind] or ANSWERS[kind]) and tvb(18, 1):uint() == 0 then
    local is_request = TO_SERVER[kind] or false
    if not pinfo.visited then
      local here = tostring(pinfo.src) .. " " .. pinfo.src_port
      local there = tostring(pinfo.dst) .. " " .. pinfo.dst_port
      local pair = is_request and here .. " " .. there or there .. " " .. here
      match(pinfo, pair .. " " .. (ANSWERS[kind] or kind) .. " " .. client, is_request)
    end
    show_match(tree, pinfo, is_request)
  end
  return length
end

function netclone.dissector(tvb, pinfo, root)
  return dissect_v1(tvb, pinfo, root, pinfo.port_type == 2)
end

function compat.dissector(tvb, pinfo, root)
  local length = tvb:len()
  pinfo.cols.protocol = "NetClone28"
  pinfo.cols.info = "NetClone28"
  local tree = root:add(compat, tvb())
  if length < COMPAT_LENGTH then
    malformed(pinfo, tree, ce.short, "short")
    return length
  end
  local item = tree:add(c.op, tvb(0, 4))
  if tvb(0, 4):uint() > 3 then
    malformed(pinfo, item, ce.op, "bad OP")
  end
  tree:add(c.seq, tvb(4, 4))
  tree:add(c.grp, tvb(8, 4))
  tree:add(c.sid, tvb(12, 4))
  tree:add(c.load, tvb(16, 4))
  item = tree:add(c.clo, tvb(20, 4))
  if tvb(20, 4):uint() > 2 then
    malformed(pinfo, item, ce.clo, "bad CLO")
  end
  tree:add(c.idx, tvb(24, 4))
  if length > COMPAT_LENGTH then
    tree:add(c.payload, tvb(COMPAT_LENGTH, length - COMPAT_LENGTH))
  end
  pinfo.cols.info:append(string.format(" op %d seq %d", tvb(0, 4):uint(), tvb(4, 4):uint()))
  return length
end

-- The ports that are registered now, to take them back when the preferences change.
local registered = { v1 = "", compat = "" }

local function register(name, proto, ports)
  ports = tostring(ports)
  if registered[name] == ports then
    return
  end
  for _, transport in ipairs({ "udp.port", "tcp.port" }) do
    local tables = DissectorTable.get(transport)
    if registered[name] ~= "" then
      tables:remove(registered[name], proto)
    end
    if ports ~= "" then
      tables:add(ports, proto)
    end
  end
  registered[name] = ports
end

local function register_all()
  register("v1", netclone, netclone.prefs.ports)
  register("compat", compat, netclone.prefs.compat28_ports)
end

netclone.prefs_changed = register_all
register_all()
