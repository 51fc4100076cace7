#!lua name=fanfare
-- Fanfare's functions on a shard: a Redis 7 that is a single primary, with or without replicas, and no Cluster.
--
-- A stream has, all under the name ff:{stream} (KEYS[1]), which is also the channel its entries are published on:
--
--   <name>:m          string, "meta": epoch, last seq, last id ("~" before the first), when the TTLs are due again (s),
--                     the newest idempotency generation and the one before it, and " kind=count" for each kind but
--                     comment: what is left of seq. One string, since a hash costs a post 7 look-ups more
--   <name>:h          stream, the history: the entry numbered n has the id n-0 and one field e, the envelope
--   <name>:i:<gen>    hash, idempotency: owner, newline, post id -> digest, seq, id, epoch. A generation lasts 10
--                     minutes of the shard's time and is asked for as long again: hash fields do not expire in Redis 7.0
--   ff:ring           string, shared by all streams: the newest ring epoch that this shard has seen
--
-- Scripts are not rolled back, so each write here is ordered by what its loss would do. Meta is the commit: an entry is
-- in the stream if and only if its seq is at most meta's. What the history holds beyond was left by a call that failed
-- between XADD and SET (a command that the ACL denies, say): it was neither published nor answered, nobody reads it,
-- and the next publish takes it out.

local GENERATION_SECONDS = 600
-- Lua's numbers, and JavaScript's, count exactly to here.
local SEQ_END = 9007199254740992
-- A history is trimmed at each such seq: it may be longer than its window by so many entries, and by what Redis keeps
-- in a node of a stream.
local TRIM_EVERY = 16
local RING_KEY = 'ff:ring'
local META = '^(%S+) (%d+) (%S+) (%d+) (%d+) (%d+)(.*)$'

-- The whole part of a number, in digits.
local function whole(number)
  return string.format('%d', number)
end

-- The meta of streams, false where there is none: a key of another type, which is a stranger's, fails no other stream
-- of the call.
local function metas_of(names)
  local keys = {}
  for index, name in ipairs(names) do
    keys[index] = name .. ':m'
  end
  return redis.call('MGET', unpack(keys))
end

-- The epoch, last seq (a number), last id and counts in a meta; nothing where there is none, or a broken one.
local function head_in(meta)
  local epoch, seq, id, _, _, _, counts = string.match(meta or '', META)
  if epoch then
    return epoch, tonumber(seq), id ~= '~' and id or '', counts
  end
end

-- What a former epoch left behind would answer for the new one.
local function forget(name)
  redis.call('DEL', name .. ':m', name .. ':h')
end

-- The history never outlives meta, which knows its epoch: both get the same end.
local function keep(name, ttl_ms)
  redis.call('PEXPIRE', name .. ':m', ttl_ms)
  redis.call('PEXPIRE', name .. ':h', ttl_ms)
end

-- Whether the stream took the post that is remembered as this entry. What lies beyond the last seq is of a call that
-- failed before its commit; so is an entry that another post took the number of. One that was trimmed is trusted.
local function took(name, seq, id, last)
  if last and tonumber(seq) > tonumber(last) then
    return false
  end
  local place = seq .. '-0'
  local found = redis.call('XRANGE', name .. ':h', place, place)[1]
  return not found or string.match(found[2][2], '^%S+ %S+ %S+ %S+ (%S+)') == id
end

-- The earlier answer to a post with this idempotency key, in generations that may hold it: digest, seq, id, or nothing.
local function earlier(name, key, generations, epoch, last)
  for _, each in ipairs(generations) do
    local text = redis.call('HGET', name .. ':i:' .. each, key)
    if text then
      local digest, seq, id, under = string.match(text, '^(%S+) (%S+) (%S+) (%S+)$')
      if digest and (under ~= epoch or took(name, seq, id, last)) then
        return digest, seq, id
      end
    end
  end
end

-- The generations that are young enough and, as meta knows, hold keys; without a meta, whichever there may be.
local function generations_of(generation, newest, before)
  local oldest, found = generation - 1, {}
  if not newest then
    return { generation, oldest }
  end
  if tonumber(newest) >= oldest then
    found[1] = newest
    if tonumber(before) >= oldest then
      found[2] = before
    end
  end
  return found
end

-- The counts with one more of this kind.
local function counted(counts, kind)
  local more, found = string.gsub(counts, ' (' .. kind .. ')=(%d+)', function(name, count)
    return ' ' .. name .. '=' .. whole(count + 1)
  end)
  return found > 0 and more or counts .. ' ' .. kind .. '=1'
end

-- Takes out of the history what calls that failed before their commit left from this seq on, and its memory of them.
local function take_back(history, seq)
  for _, left in ipairs(redis.call('XRANGE', history, whole(seq) .. '-0', '+')) do
    redis.call('XDEL', history, left[1])
  end
  redis.call('XSETID', history, whole(seq - 1) .. '-0', 'ENTRIESADDED', whole(seq - 1), 'MAXDELETEDID', '0-0')
end

-- Appends the entry numbered seq to the history; answers as XADD does.
local function append(history, seq, window, envelope)
  if seq % TRIM_EVERY == 0 then
    return redis.pcall('XADD', history, 'MAXLEN', '~', window, seq .. '-0', 'e', envelope)
  end
  return redis.pcall('XADD', history, seq .. '-0', 'e', envelope)
end

-- The last word of the envelope of a traced post: " trace=<traceparent>". It comes as a key, ff:trace:<traceparent>,
-- since libraries from before it look at the first key only, and at each argument; and a user may name such keys.
local function trace_of(key)
  return key and string.gsub(key, '^ff:trace:', ' trace=', 1) or ''
end

-- fanfare_publish ff:{stream} [ff:trace:<traceparent>] <ring epoch> <candidate epoch> <id> <kind> <accepted at, ms> <fragment>
--                 <window, entries> <TTL, ms> [<owner>\n<post id> <digest>]
-- answers {'ok' or 'duplicate', seq, id}, or {'reused'}; errors FFRING (older ring epoch) and FFSEQ (no number left).
local function publish(keys, args)
  local name, ring, id, kind, ttl_ms, key = keys[1], args[1], args[3], args[4], args[8], args[9]
  local meta_key = name .. ':m'
  -- One call for both: a call costs more than what most of them do.
  local stored = redis.call('MGET', RING_KEY, meta_key)
  local newest_ring = stored[1]
  if newest_ring ~= ring and newest_ring and tonumber(newest_ring) > tonumber(ring) then
    return redis.error_reply('FFRING a newer list of shards is in force: ' .. newest_ring)
  end

  local epoch, last, previous, due, newest, before, counts
  if stored[2] then
    epoch, last, previous, due, newest, before, counts = string.match(stored[2], META)
  end
  local now = redis.call('TIME')
  local second = now[1]
  local generation
  if key then
    generation = whole(second / GENERATION_SECONDS)
    local digest, seq, first_id = earlier(name, key, generations_of(generation, newest, before), epoch, last)
    if digest then
      return digest == args[10] and { 'duplicate', seq, first_id } or { 'reused' }
    end
  end
  if not epoch then
    forget(name)
    epoch, last, previous, due, newest, before, counts = args[2], 0, '~', 0, 0, 0, ''
  end
  local number = last + 1
  if number >= SEQ_END then
    return redis.error_reply('FFSEQ the epoch has no sequence number left')
  end

  local seq = whole(number)
  local at = second .. string.sub('00000' .. now[2], -6, -4)
  -- One expression: Lua joins it without a table, and without the strings between.
  local envelope = '1 ' .. ring .. ' ' .. epoch .. ' ' .. seq .. ' ' .. id .. ' ' .. previous .. ' ' .. at .. ' '
    .. args[5] .. ' ' .. kind .. trace_of(keys[2]) .. '\n' .. args[6]
  local history = name .. ':h'
  local added = append(history, seq, args[7], envelope)
  if added.err and string.find(added.err, 'equal or smaller', 1, true) then
    take_back(history, number)
    added = append(history, seq, args[7], envelope)
  end
  if added.err then
    return added
  end

  if key then
    local hash = name .. ':i:' .. generation
    redis.call('HSET', hash, key, args[10] .. ' ' .. seq .. ' ' .. id .. ' ' .. epoch)
    if newest ~= generation then
      redis.call('EXPIREAT', hash, (generation + 2) * GENERATION_SECONDS)
      newest, before = generation, newest
    end
  end
  if kind ~= 'comment' then
    counts = counted(counts, kind)
  end
  local tail = ' ' .. newest .. ' ' .. before .. counts
  -- The TTLs are set again when a sixteenth of them is gone: a call fewer for most posts.
  if tonumber(second) < tonumber(due) then
    redis.call('SET', meta_key, epoch .. ' ' .. seq .. ' ' .. id .. ' ' .. due .. tail, 'KEEPTTL')
  else
    due = whole(second + ttl_ms / 16000)
    redis.call('SET', meta_key, epoch .. ' ' .. seq .. ' ' .. id .. ' ' .. due .. tail, 'PX', ttl_ms)
    redis.call('PEXPIRE', history, ttl_ms)
  end
  if newest_ring ~= ring then
    redis.call('SET', RING_KEY, ring)
  end
  redis.call('PUBLISH', name, envelope)
  return { 'ok', seq, id }
end

-- fanfare_read ff:{stream} <after seq> <how many of the newest> <candidate epoch> <TTL, ms>
-- answers {epoch, seq, id, newest envelope, the one before it, ...}; a stream without an epoch gets the candidate, so
-- that whoever watches an empty stream sees it when the shard is wiped.
local function read(keys, args)
  local name = keys[1]
  local epoch, seq, id = head_in(metas_of(keys)[1])
  if not epoch then
    forget(name)
    epoch, seq, id = args[3], 0, ''
    redis.call('SET', name .. ':m', epoch .. ' 0 ~ 0 0 0')
  end
  keep(name, args[4])
  local answer = { epoch, whole(seq), id }
  local after = tonumber(args[1])
  if tonumber(args[2]) > 0 and after < seq then
    local from, to = whole(seq) .. '-0', whole(after + 1) .. '-0'
    for _, entry in ipairs(redis.call('XREVRANGE', name .. ':h', from, to, 'COUNT', args[2])) do
      answer[#answer + 1] = entry[2][2]
    end
  end
  return answer
end

-- fanfare_heads ff:{stream} ... <TTL, ms> answers, for each stream, {epoch, seq, id}, or {} where it has no history.
local function heads(keys, args)
  local answer = {}
  for index, meta in ipairs(metas_of(keys)) do
    local epoch, seq, id = head_in(meta)
    if epoch then
      keep(keys[index], args[1])
      answer[index] = { epoch, whole(seq), id }
    else
      answer[index] = {}
    end
  end
  return answer
end

-- fanfare_tally ff:{stream} <kind> ... answers how many entries of each kind the stream took, or {} where it has no
-- history.
local function tally(keys, args)
  local _, seq, _, counts = head_in(metas_of(keys)[1])
  if not seq then
    return {}
  end
  local of = { comment = seq }
  for kind, count in string.gmatch(counts, ' (%l+)=(%d+)') do
    of[kind] = count
    of.comment = of.comment - count
  end
  local answer = {}
  for index, kind in ipairs(args) do
    answer[index] = whole(of[kind] or 0)
  end
  return answer
end

-- Whose tokens no longer count: who was issued one at the time of its entry or before is nobody with it.
--
--   ff:revoked        stream: an entry for each revocation, its id the time, one field u, the user

-- fanfare_revoke ff:revoked <user> <how long tokens live, ms>; what is older than any token goes.
local function revoke(keys, args)
  local time = redis.call('TIME')
  local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - args[2]
  local id = redis.call('XADD', keys[1], 'MINID', '~', whole(math.max(oldest, 0)), '*', 'u', args[1])
  redis.call('PEXPIRE', keys[1], args[2])
  return id
end

-- fanfare_revoked ff:revoked <id> <how many> answers {id, user, ...} of the next ones after that id.
local function revoked(keys, args)
  local answer = {}
  for _, entry in ipairs(redis.call('XRANGE', keys[1], '(' .. args[1], '+', 'COUNT', args[2])) do
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = entry[2][2]
  end
  return answer
end

-- Reading goes on when memory is full: it writes nothing that grows, but for a new stream's epoch.
redis.register_function('fanfare_publish', publish)
redis.register_function{ function_name = 'fanfare_read', callback = read, flags = { 'allow-oom' } }
redis.register_function{ function_name = 'fanfare_heads', callback = heads, flags = { 'allow-oom' } }
redis.register_function{ function_name = 'fanfare_tally', callback = tally, flags = { 'no-writes' } }
redis.register_function('fanfare_revoke', revoke)
redis.register_function{ function_name = 'fanfare_revoked', callback = revoked, flags = { 'no-writes' } }

-- The pods of a track tell each other how they fare, so that few of them refuse viewers for their load at once.
--
--   ff:fleet:<track>  hash: pod -> <seen, ms> <leave until, ms> <ready, 0 or 1> <viewers> <ring epoch> <load>
--
-- All times are the shard's. A pod that was not seen for so long, or is seen in the future after the shard's clock was
-- put back, is dead; a leave ends with the same time.

local FLEET_TTL_MS = 15000

-- The other pods of the track that live: how many, how many of them are on leave, their viewers, and of those that take
-- viewers how many and their summed load. The dead are taken out.
local function other_pods(name, pod, now)
  local others = { pods = 0, leaves = 0, viewers = 0, ready = 0, load = 0 }
  local fields = redis.call('HGETALL', name)
  for index = 1, #fields, 2 do
    local seen, leave, ready, viewers, load = string.match(fields[index + 1], '^(%d+) (%d+) ([01]) (%d+) %d+ (%S+)$')
    seen, leave, load = tonumber(seen), tonumber(leave), tonumber(load)
    if not (seen and load) or math.abs(now - seen) >= FLEET_TTL_MS then
      redis.call('HDEL', name, fields[index])
    elseif fields[index] ~= pod then
      others.pods = others.pods + 1
      others.viewers = others.viewers + tonumber(viewers)
      if leave > now then
        others.leaves = others.leaves + 1
      end
      if ready == '1' then
        others.ready = others.ready + 1
        others.load = others.load + load
      end
    end
  end
  return others
end

-- fanfare_beat ff:fleet:<track> <pod> <stay, leave or gone> <load> <load from which on a pod is hot> <viewers>
--              <ready, 0 or 1> <ring epoch>
-- answers {'stay' or 'leave', live pods, of these on leave, mean load of the others that take viewers or '', mean viewers}.
-- A pod may leave if the others that take viewers are not hot on average and at most max(1, 30 %) of the live pods
-- then are on leave; a pod without others follows its own load.
local function beat(keys, args)
  local name, pod, wish, hot, viewers, ready = keys[1], args[1], args[2], tonumber(args[4]), tonumber(args[5]), args[6]
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local others = other_pods(name, pod, now)
  local live = others.pods + 1
  local mean = others.ready > 0 and others.load / others.ready or nil
  local leaves = false
  if wish == 'gone' then
    redis.call('HDEL', name, pod)
  else
    if wish == 'leave' then
      local is_free = others.leaves < math.max(1, math.floor(live * 3 / 10))
      leaves = is_free and (others.pods == 0 or (mean ~= nil and mean < hot))
    end
    local seen, until_ms = whole(now), whole(leaves and now + FLEET_TTL_MS or 0)
    -- Who is on leave takes no viewers, from this moment on.
    local text = { seen, until_ms, leaves and '0' or ready, whole(viewers), args[7], args[3] }
    redis.call('HSET', name, pod, table.concat(text, ' '))
    redis.call('PEXPIRE', name, 2 * FLEET_TTL_MS)
  end
  return {
    leaves and 'leave' or 'stay', whole(live), whole(others.leaves + (leaves and 1 or 0)),
    mean and string.format('%.3f', mean) or '', string.format('%.1f', (others.viewers + viewers) / live),
  }
end

redis.register_function{ function_name = 'fanfare_beat', callback = beat, flags = { 'allow-oom' } }
