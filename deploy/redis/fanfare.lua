#!lua name=fanfare
-- Fanfare's functions on a shard: a Redis 7 that is a single primary, with or without replicas, and no Cluster.
--
-- A stream has, all under the name ff:{stream} (KEYS[1]), which is also the channel its entries are published on:
--
--   <name>:m          hash, "meta": e epoch, s last seq, i last id, k when the TTLs were set (s), g and p the newest
--                     generation below and the one before it, and comment, gift, ...: how many entries of a kind
--   <name>:h          stream, the history: the entry numbered n has the id n-0 and one field e, the envelope
--   <name>:i:<gen>    hash, idempotency: owner, newline, post id -> digest, seq, id, epoch. A generation lasts 10
--                     minutes of the shard's time and is asked for as long again: hash fields do not expire in Redis 7.0
--   ff:ring           string, shared by all streams: the newest ring epoch that this shard has seen
--
-- Scripts are not rolled back, so each write here is ordered by what its loss would do. Meta is the commit: an entry is
-- in the stream if and only if its seq is at most meta's. What the history holds beyond was left by a call that failed
-- between XADD and HSET (a command that the ACL denies, say): it was neither published nor answered, nobody reads it,
-- and the next publish takes it out.

local GENERATION_SECONDS = 600
-- Lua's numbers, and JavaScript's, count exactly to here.
local SEQ_END = 9007199254740992
local RING_KEY = 'ff:ring'

local function whole(number)
  return string.format('%.0f', number)
end

-- The epoch, last seq (a number), last id and further fields of a stream; nothing where it has no history, or a broken
-- meta.
local function head_of(name, ...)
  local found = redis.pcall('HMGET', name .. ':m', 'e', 's', 'i', ...)
  if found.err then
    -- Somebody wrote another type there: that is no meta, and no reason to fail the other streams of the call.
    if string.find(found.err, 'WRONGTYPE', 1, true) then
      return
    end
    error(found)
  end
  local seq = tonumber(found[2])
  if found[1] and seq and found[3] then
    return found[1], seq, found[3], unpack(found, 4)
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

-- The earlier answer to a post with this idempotency key: digest, seq, id, or nothing. Only generations that are young
-- enough and, as meta knows, hold keys are asked; without a meta, whichever there may be.
local function earlier(name, generation, key, meta)
  local generations = { meta.newest, meta.before }
  if not meta.epoch then
    generations = { generation, generation - 1 }
  end
  for _, each in pairs(generations) do
    local text = tonumber(each) and tonumber(each) >= generation - 1
      and redis.call('HGET', name .. ':i:' .. each, key)
    if text then
      local digest, seq, id, under = string.match(text, '^(%S+) (%S+) (%S+) (%S+)$')
      -- An answer beyond meta is of a call that failed before its commit.
      if digest and not (under == meta.epoch and tonumber(seq) > meta.last) then
        return digest, seq, id
      end
    end
  end
end

-- Takes out of the history what calls that failed before their commit left from this seq on, and its memory of them.
local function take_back(history, seq)
  for _, left in ipairs(redis.call('XRANGE', history, whole(seq) .. '-0', '+')) do
    redis.call('XDEL', history, left[1])
  end
  redis.call('XSETID', history, whole(seq - 1) .. '-0', 'ENTRIESADDED', whole(seq - 1), 'MAXDELETEDID', '0-0')
end

-- Appends an entry to the history, which follows the last one; answers as XADD does.
local function append(history, last, seq, window, envelope)
  local answer = redis.pcall('XADD', history, 'MAXLEN', '~', window, seq .. '-0', 'e', envelope)
  if answer.err and string.find(answer.err, 'equal or smaller', 1, true) then
    take_back(history, last + 1)
    return redis.pcall('XADD', history, 'MAXLEN', '~', window, seq .. '-0', 'e', envelope)
  end
  return answer
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
  local newest_ring = redis.call('GET', RING_KEY)
  if newest_ring and newest_ring ~= ring and tonumber(newest_ring) > tonumber(ring) then
    return redis.error_reply('FFRING a newer list of shards is in force: ' .. newest_ring)
  end

  local now = redis.call('TIME')
  local generation = math.floor(now[1] / GENERATION_SECONDS)
  local epoch, last, previous, kept, count, keyed, before
  if not key then
    epoch, last, previous, kept, count = head_of(name, 'k', kind)
  else
    epoch, last, previous, kept, count, keyed, before = head_of(name, 'k', kind, 'g', 'p')
    local meta = { epoch = epoch, last = last, newest = keyed, before = before }
    local digest, seq, first_id = earlier(name, generation, key, meta)
    if digest then
      return digest == args[10] and { 'duplicate', seq, first_id } or { 'reused' }
    end
  end
  if not epoch then
    forget(name)
    epoch, last, previous = args[2], 0, ''
  end
  if last + 1 >= SEQ_END then
    return redis.error_reply('FFSEQ the epoch has no sequence number left')
  end

  local seq = whole(last + 1)
  local at = now[1] .. string.sub('00000' .. now[2], -6, -4)
  -- One expression: Lua joins it without a table, and without the strings between.
  local envelope = '1 ' .. ring .. ' ' .. epoch .. ' ' .. seq .. ' ' .. id .. ' ' .. (last == 0 and '~' or previous)
    .. ' ' .. at .. ' ' .. args[5] .. ' ' .. kind .. trace_of(keys[2]) .. '\n' .. args[6]
  local added = append(name .. ':h', last, seq, args[7], envelope)
  if added.err then
    return added
  end

  local meta = { 's', seq, 'i', id, kind, (count or 0) + 1 }
  if key then
    local hash = name .. ':i:' .. generation
    redis.call('HSET', hash, key, args[10] .. ' ' .. seq .. ' ' .. id .. ' ' .. epoch)
    if tonumber(keyed) ~= generation then
      redis.call('EXPIREAT', hash, (generation + 2) * GENERATION_SECONDS)
      meta[7], meta[8], meta[9], meta[10] = 'g', generation, 'p', keyed or ''
    end
  end
  -- The TTLs are set again when a sixteenth of them is gone: two calls fewer for most posts.
  local stale = last == 0 or now[1] - (kept or 0) >= ttl_ms / 16000
  if stale then
    local n = #meta
    meta[n + 1], meta[n + 2], meta[n + 3], meta[n + 4] = 'e', epoch, 'k', now[1]
  end
  redis.call('HSET', name .. ':m', unpack(meta))
  if stale then
    keep(name, ttl_ms)
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
  local epoch, seq, id = head_of(name)
  if not epoch then
    forget(name)
    epoch, seq, id = args[3], 0, ''
    redis.call('HSET', name .. ':m', 'e', epoch, 's', '0', 'i', '')
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
  for index, name in ipairs(keys) do
    local epoch, seq, id = head_of(name)
    if epoch then
      keep(name, args[1])
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
  local found = { head_of(keys[1], unpack(args)) }
  local answer = {}
  if found[1] then
    for index = 1, #args do
      answer[index] = found[index + 3] or '0'
    end
  end
  return answer
end

-- Reading goes on when memory is full: it writes nothing that grows, but for a new stream's epoch.
redis.register_function('fanfare_publish', publish)
redis.register_function{ function_name = 'fanfare_read', callback = read, flags = { 'allow-oom' } }
redis.register_function{ function_name = 'fanfare_heads', callback = heads, flags = { 'allow-oom' } }
redis.register_function{ function_name = 'fanfare_tally', callback = tally, flags = { 'no-writes' } }
