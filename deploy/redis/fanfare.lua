#!lua name=fanfare
-- Fanfare's functions on a shard: a Redis 7 that is a single primary, with or without replicas, and no Cluster.
--
-- A stream has, all under the name ff:{stream} (KEYS[1]), which is also the channel its entries are published on:
--
--   <name>:m          string, "meta": epoch, last seq, last id ("~" before the first), when the TTLs are due again (s),
--                     the newest idempotency generation and the one before it, " @<timeline>", for each former
--                     timeline " ^<timeline>=<its last seq here>", and " kind=count" for each kind but comment: what is
--                     left of seq. One string, since a hash costs a post 7 look-ups more
--   <name>:h          stream, the history: the entry numbered n has the id n-0 and one field e, the envelope
--   <name>:i:<gen>    hash, idempotency: owner, newline, post id -> digest, seq, id, epoch. A generation lasts 10
--                     minutes of the shard's time and is asked for as long again: hash fields do not expire in Redis 7.0
--   ff:ring           string, shared by all streams: the newest ring epoch that this shard has seen
--
-- A timeline is what one process of the shard writes. After a restart or a failover each stream's next post begins
-- another one, and the stream's meta notes where the last one ended: a replica that lagged gives numbers again which
-- viewers have seen, and once these entries are trimmed only the timeline tells which ones a viewer has. The first
-- timeline of an epoch is not named, neither in envelopes nor in positions: there it is "~".
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
-- So many former timelines of a stream are remembered.
local MOST_FORMER = 8
-- Raised with each change that pods need: they load the library in place of one with a lower number.
local LIBRARY_VERSION = 2
local META = '^(%S+) (%d+) (%S+) (%d+) (%d+) (%d+)'

-- The whole part of a number, in digits.
local function whole(number)
  return string.format('%d', number)
end

-- The shard's time in milliseconds.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
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

-- The epoch, last seq (a number), last id, and the timelines and counts in a meta; nothing where there is none, or a
-- broken one.
local function head_in(meta)
  local epoch, seq, id, _, _, _, rest = string.match(meta or '', META .. '(.*)$')
  if epoch then
    return epoch, tonumber(seq), id ~= '~' and id or '', rest
  end
end

-- The timeline of this process: its name, as meta and as an envelope have it, and the metas that are on it. A variable
-- of the library lives as long as the process, and is not replicated. It lives on in one that becomes a replica, and a
-- primary once more, unless the data that it had beyond the other's are thrown away: they come with the library then.
local timeline_here, in_meta, in_envelope, META_HERE

-- Names this process's timeline, if it has no name yet, after a random epoch.
local function name_timeline(candidate)
  if not timeline_here then
    timeline_here = string.sub(candidate, 1, 6)
    in_meta, in_envelope = ' @' .. timeline_here, ' timeline=' .. timeline_here
    META_HERE = META .. string.gsub(in_meta, '%-', '%%-') .. '(.*)$'
  end
end

-- The former timelines in the rest of a meta, each as its word.
local function former_in(rest)
  local former = {}
  for word in string.gmatch(rest, ' (%^%S+)') do
    former[#former + 1] = word
  end
  return former
end

-- The former timelines and the counts, on this timeline, of a meta whose last entry, with this seq, is of another one.
local function branched(rest, last)
  local before = string.match(rest, '^ @(%S+)')
  if not before then
    -- A library from before timelines wrote it.
    return rest
  end
  local former = former_in(rest)
  former[#former + 1] = '^' .. (#former == 0 and '~' or before) .. '=' .. last
  if #former > MOST_FORMER then
    table.remove(former, 1)
  end
  return ' ' .. table.concat(former, ' ') .. (string.match(rest, ' %l.*$') or '')
end

-- The timelines of a stream as fanfare_read answers them: '@<timeline> ^<former>=<end> ...'; nothing if it has but one.
local function timelines_in(rest)
  local former = former_in(rest)
  return former[1] and string.match(rest, '@%S+') .. ' ' .. table.concat(former, ' ')
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

-- The rest of a meta with one more of this kind.
local function counted(rest, kind)
  local more, found = string.gsub(rest, ' (' .. kind .. ')=(%d+)', function(name, count)
    return ' ' .. name .. '=' .. whole(count + 1)
  end)
  return found > 0 and more or rest .. ' ' .. kind .. '=1'
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

  name_timeline(args[2])
  local epoch, last, previous, due, newest, before, rest
  if stored[2] then
    epoch, last, previous, due, newest, before, rest = string.match(stored[2], META_HERE)
    if not epoch then
      epoch, last, previous, due, newest, before, rest = string.match(stored[2], META .. '(.*)$')
      rest = epoch and branched(rest, last)
    end
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
    epoch, last, previous, due, newest, before, rest = args[2], 0, '~', 0, 0, 0, ''
  end
  local number = last + 1
  if number >= SEQ_END then
    return redis.error_reply('FFSEQ the epoch has no sequence number left')
  end

  local seq = whole(number)
  local at = second .. string.sub('00000' .. now[2], -6, -4)
  -- One expression: Lua joins it without a table, and without the strings between.
  local envelope = '1 ' .. ring .. ' ' .. epoch .. ' ' .. seq .. ' ' .. id .. ' ' .. previous .. ' ' .. at .. ' '
    .. args[5] .. ' ' .. kind .. (string.byte(rest, 2) == 94 and in_envelope or '') .. trace_of(keys[2])
    .. '\n' .. args[6]
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
    rest = counted(rest, kind)
  end
  local tail = ' ' .. newest .. ' ' .. before .. in_meta .. rest
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

-- The answer to a read: the head, its timelines if they are asked for, and of the entries after a seq so many of the
-- newest, the newest first.
local function window_of(name, head, after, newest, timelines)
  local epoch, seq, id, rest = unpack(head)
  local answer = { epoch, whole(seq), id }
  answer[4] = timelines and timelines_in(rest)
  if tonumber(newest) > 0 and tonumber(after) < seq then
    local from, to = whole(seq) .. '-0', whole(after + 1) .. '-0'
    for _, entry in ipairs(redis.call('XREVRANGE', name .. ':h', from, to, 'COUNT', newest)) do
      answer[#answer + 1] = entry[2][2]
    end
  end
  return answer
end

-- fanfare_publish_all ff:{stream} <ring epoch> <candidate epoch> <window, entries> <TTL, ms>
--                     [<id> <kind> <accepted at, ms> <fragment> <traceparent> <owner>\n<post id> <digest>] ...
-- publishes posts in this order, up to the first that fails; what a post does not have is empty. Answers for each as
-- fanfare_publish does, and {'error', words} for one that failed. If that is the first one, its error is the answer.
local function publish_all(keys, args)
  local answers = {}
  for at = 5, #args, 7 do
    local names, post = { keys[1] }, { args[1], args[2], args[at], args[at + 1], args[at + 2], args[at + 3], args[3], args[4] }
    if args[at + 4] ~= '' then
      names[2] = 'ff:trace:' .. args[at + 4]
    end
    if args[at + 5] ~= '' then
      post[9], post[10] = args[at + 5], args[at + 6]
    end
    local done, answer = pcall(publish, names, post)
    if not done or answer.err then
      local words = type(answer) == 'table' and answer.err or tostring(answer)
      if #answers == 0 then
        return redis.error_reply(words)
      end
      answers[#answers + 1] = { 'error', words }
      break
    end
    answers[#answers + 1] = answer
  end
  return answers
end

-- fanfare_read ff:{stream} <after seq> <how many of the newest> <candidate epoch> <TTL, ms> [timelines]
-- answers {epoch, seq, id, newest envelope, the one before it, ...}, and before the first envelope the timelines if the
-- stream has several and they are asked for: '@<timeline> ^<former one, or ~>=<its last seq here> ...', the oldest first.
-- A stream without an epoch gets the candidate, so that whoever watches an empty stream sees it when the shard is wiped.
local function read(keys, args)
  local name = keys[1]
  local head = { head_in(metas_of(keys)[1]) }
  if not head[1] then
    forget(name)
    name_timeline(args[3])
    head = { args[3], 0, '', in_meta }
    redis.call('SET', name .. ':m', args[3] .. ' 0 ~ 0 0 0' .. head[4])
  end
  keep(name, args[4])
  return window_of(name, head, args[1], args[2], args[5])
end

-- fanfare_peek ff:{stream} <after seq> <how many of the newest> <candidate epoch> [timelines] answers as fanfare_read
-- does and writes nothing, for a Redis that refuses writes: the candidate of a stream without an epoch is answered, not
-- kept.
local function peek(keys, args)
  local head = { head_in(metas_of(keys)[1]) }
  if not head[1] then
    return { args[3], '0', '' }
  end
  return window_of(keys[1], head, args[1], args[2], args[4])
end

-- The heads of streams: {epoch, seq, id} for each, or {} where it has no history. Without a TTL nothing is written.
local function heads_of(keys, ttl_ms)
  local answer = {}
  for index, meta in ipairs(metas_of(keys)) do
    local epoch, seq, id = head_in(meta)
    if epoch and ttl_ms then
      keep(keys[index], ttl_ms)
    end
    answer[index] = epoch and { epoch, whole(seq), id } or {}
  end
  return answer
end

-- fanfare_heads ff:{stream} ... <TTL, ms> answers the heads of the streams, and keeps their histories for so long.
local function heads(keys, args)
  return heads_of(keys, args[1])
end

-- fanfare_peek_heads ff:{stream} ... answers as fanfare_heads does and writes nothing.
local function peek_heads(keys)
  return heads_of(keys)
end

-- fanfare_tally ff:{stream} <kind> ... answers how many entries of each kind the stream took, or {} where it has no
-- history.
local function tally(keys, args)
  local _, seq, _, rest = head_in(metas_of(keys)[1])
  if not seq then
    return {}
  end
  local of = { comment = seq }
  for kind, count in string.gmatch(rest, ' (%l+)=(%d+)') do
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

-- fanfare_version ff:{} answers the library's version; one without this function is version 1.
local function version()
  return LIBRARY_VERSION
end

-- Reading goes on when memory is full: it writes nothing that grows, but for a new stream's epoch. Where Redis refuses
-- every function that may write (a replica, too few replicas, a disk that fails), pods call fanfare_peek and its like.
redis.register_function('fanfare_publish', publish)
redis.register_function('fanfare_publish_all', publish_all)
redis.register_function{ function_name = 'fanfare_peek', callback = peek, flags = { 'no-writes' } }
redis.register_function{ function_name = 'fanfare_peek_heads', callback = peek_heads, flags = { 'no-writes' } }
redis.register_function{ function_name = 'fanfare_read', callback = read, flags = { 'allow-oom' } }
redis.register_function{ function_name = 'fanfare_heads', callback = heads, flags = { 'allow-oom' } }
redis.register_function{ function_name = 'fanfare_tally', callback = tally, flags = { 'no-writes' } }
redis.register_function{ function_name = 'fanfare_version', callback = version, flags = { 'no-writes' } }
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
  local now = now_ms()
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

-- Who watches, over all pods. A viewer has no key: each pod says how many it has, every two seconds and of the streams
-- where that changed, and is told of its streams how many watch them elsewhere.
--
--   ff:audience        hash: pod -> until when it counts, ms of the shard's time
--   ff:audience:<pod>  hash: stream -> its viewers there; also the channel on which the pod is told
--   ff:{stream}:p      string: the most viewers at once ("peak")
--   ff:{stream}:u      HyperLogLog of the users who watched
--   ff:peaks           hash: stream -> viewers, present total, since when (ms), TTL (ms): a peak to be confirmed
--
-- A pod that crashed is counted until its lease ends, while its viewers are back on other pods; and pods report a viewer
-- that moves between them at different times. So a total that exceeds the peak is first held in ff:peaks, lowered to each
-- smaller total that follows and by what each pod that crashed had, and becomes the peak once every pod with viewers in the
-- stream has renewed its lease. A present total that is higher still is the next one.
--
-- A pod that says nothing for so long does not count any more, nor does one whose end is too far away, since the clock
-- was put back: whoever calls next takes its streams out and tells the others.

local AUDIENCE = 'ff:audience'
local AUDIENCE_TTL_MS = 12000
-- A shard that no pod calls any more is left with nothing. Until then the streams of the dead are known.
local AUDIENCE_KEPT_MS = 60000
-- How many streams of dead pods a call takes out; this bounds how long it takes.
local TAKEN_OUT = 200
local PENDING = 'ff:peaks'
-- How many unconfirmed peaks a call checks; this bounds how long it takes.
local CHECKED = 100
-- How many users go to one PFADD: what Lua can unpack is limited.
local USERS = 500

local function audience_of(pod)
  return AUDIENCE .. ':' .. pod
end

-- The pods that count, and those that do not any more.
local function pods_of(key)
  local now, living, dead = now_ms(), {}, {}
  local fields = redis.call('HGETALL', key)
  for index = 1, #fields, 2 do
    local ends = tonumber(fields[index + 1])
    local lives = ends and ends > now and ends <= now + AUDIENCE_TTL_MS
    table.insert(lives and living or dead, fields[index])
  end
  return living, dead, now
end

-- Takes a pod out of a list; returns whether it was there.
local function without(list, pod)
  for index, each in ipairs(list) do
    if each == pod then
      return table.remove(list, index) ~= nil
    end
  end
  return false
end

-- Tells each living pod how many watch its streams elsewhere: those of these streams that changed, or all if nothing is
-- said of that, and the pod that asks all that it has. Returns how many watch each.
local function tell(streams, living, changed, asks)
  local counts, totals = {}, {}
  for number, pod in ipairs(living) do
    counts[number] = redis.call('HMGET', audience_of(pod), unpack(streams))
    for index = 1, #streams do
      totals[index] = (totals[index] or 0) + (counts[number][index] or 0)
    end
  end
  for number, pod in ipairs(living) do
    local words = {}
    for index, stream in ipairs(streams) do
      local own = counts[number][index]
      if own and (pod == asks or not changed or changed[index]) then
        words[#words + 1] = stream .. ' ' .. whole(totals[index] - own)
      end
    end
    if #words > 0 then
      redis.call('PUBLISH', audience_of(pod), table.concat(words, '\n'))
    end
  end
  return totals
end

-- Lowers the unconfirmed peaks of the streams to their totals, and by what a dead pod had (`dead`), since others may have
-- gained as much meanwhile. Starts one for each stream without any that `starts` names, as 'since when, TTL'.
local function note_totals(streams, totals, starts, dead)
  local known, noted = redis.call('HMGET', PENDING, unpack(streams)), {}
  for index, stream in ipairs(streams) do
    local total = totals[index] or 0
    local viewers, rest = string.match(known[index] or '', '^(%d+) %d+ (%d+ %d+)$')
    rest = rest or starts[index]
    if rest then
      local unconfirmed = math.min((viewers or total) - (dead[index] or 0), total)
      noted[#noted + 1] = stream
      noted[#noted + 1] = string.format('%d %d %s', math.max(unconfirmed, 0), total, rest)
    end
  end
  if #noted > 0 then
    redis.call('HSET', PENDING, unpack(noted))
    redis.call('PEXPIRE', PENDING, AUDIENCE_KEPT_MS)
  end
end

-- Returns for each stream whether a pod with viewers in it has not renewed its lease since the stream's time. Pods that do
-- not count any more, but are not taken out yet, are pods like any other here.
local function unrenewed(key, streams, times)
  local found, leases, newest = {}, redis.call('HGETALL', key), math.max(unpack(times))
  for index = 1, #leases, 2 do
    local renewed = (tonumber(leases[index + 1]) or 0) - AUDIENCE_TTL_MS
    local viewers = renewed < newest and redis.call('HMGET', audience_of(leases[index]), unpack(streams)) or {}
    for number, since in ipairs(times) do
      found[number] = found[number] or (viewers[number] and renewed < since)
    end
  end
  return found
end

-- The unconfirmed peaks, so many at once.
local function some_pending()
  local streams, peak_keys, times, pending = {}, {}, {}, {}
  local fields = redis.call('HRANDFIELD', PENDING, CHECKED, 'WITHVALUES')
  for index = 1, #fields, 2 do
    local viewers, total, since, ttl_ms = string.match(fields[index + 1], '^(%d+) (%d+) (%d+) (%d+)$')
    local number = #streams + 1
    streams[number], peak_keys[number] = fields[index], 'ff:{' .. fields[index] .. '}:p'
    times[number] = tonumber(since) or 0
    pending[number] = { viewers = tonumber(viewers) or 0, total = tonumber(total) or 0, ttl_ms = ttl_ms }
  end
  return streams, peak_keys, times, pending
end

-- Makes peaks of the unconfirmed ones that every pod has confirmed. One from the future is of a clock that was put back.
local function confirm_peaks(key, now)
  local streams, peak_keys, times, pending = some_pending()
  if #streams == 0 then
    return
  end
  local waits, peaks, done, again = unrenewed(key, streams, times), redis.call('MGET', unpack(peak_keys)), {}, {}
  for index, each in ipairs(pending) do
    local peak, is_late = tonumber(peaks[index] or 0) or 0, times[index] > now
    if each.viewers > peak and not is_late and not waits[index] then
      peak = each.viewers
      redis.call('SET', peak_keys[index], whole(peak), 'PX', each.ttl_ms)
    end
    if each.viewers <= peak or is_late then
      if each.total > peak then
        again[#again + 1] = streams[index]
        again[#again + 1] = string.format('%d %d %d %s', each.total, each.total, now, each.ttl_ms)
      else
        done[#done + 1] = streams[index]
      end
    end
  end
  if #again > 0 then
    redis.call('HSET', PENDING, unpack(again))
  end
  if #done > 0 then
    redis.call('HDEL', PENDING, unpack(done))
  end
end

-- Takes out what pods had that do not count any more, so much at once. Returns how many of their streams are left.
local function take_out(key, dead, living)
  local room, left = TAKEN_OUT, 0
  for _, pod in ipairs(dead) do
    local name = audience_of(pod)
    local streams = room > 0 and redis.call('HRANDFIELD', name, room) or {}
    if #streams > 0 then
      local viewers = redis.call('HMGET', name, unpack(streams))
      redis.call('HDEL', name, unpack(streams))
      note_totals(streams, tell(streams, living), {}, viewers)
      room = room - #streams
    end
    local more = redis.call('HLEN', name)
    if more == 0 then
      redis.call('HDEL', key, pod)
    end
    left = left + more
  end
  return left
end

-- Adds users, each one word, to those who watched the stream.
local function add_users(name, users)
  local words = {}
  local function add()
    -- A key of another type is a stranger's, and fails no other stream.
    redis.pcall('PFADD', name, unpack(words))
    words = {}
  end
  for user in string.gmatch(users, '%S+') do
    words[#words + 1] = user
    if #words == USERS then
      add()
    end
  end
  if #words > 0 then
    add()
  end
end

-- Takes note of how many watch the streams, and of who came. What is not new lives on only where it is to be kept.
local function remember(streams, totals, users, now, ttl_ms, keeps)
  local peak_keys, starts = {}, {}
  for index, stream in ipairs(streams) do
    peak_keys[index] = 'ff:{' .. stream .. '}:p'
  end
  local peaks = redis.call('MGET', unpack(peak_keys))
  for index, stream in ipairs(streams) do
    local users_key = 'ff:{' .. stream .. '}:u'
    if totals[index] > (tonumber(peaks[index] or 0) or 0) then
      starts[index] = whole(now) .. ' ' .. ttl_ms
    end
    if keeps then
      redis.call('PEXPIRE', peak_keys[index], ttl_ms)
    end
    add_users(users_key, users[index])
    if keeps or users[index] ~= '' then
      redis.call('PEXPIRE', users_key, ttl_ms)
    end
  end
  note_totals(streams, totals, starts, {})
end

-- Sets how many viewers a pod has in the streams. Returns which of them changed.
local function set_counts(name, streams, viewers)
  local before, changed, set, gone = redis.call('HMGET', name, unpack(streams)), {}, {}, {}
  for index, stream in ipairs(streams) do
    changed[index] = tonumber(before[index] or 0) ~= viewers[index]
    if viewers[index] == 0 then
      gone[#gone + 1] = stream
    else
      set[#set + 1] = stream
      set[#set + 1] = whole(viewers[index])
    end
  end
  if #set > 0 then
    redis.call('HSET', name, unpack(set))
  end
  if #gone > 0 then
    redis.call('HDEL', name, unpack(gone))
  end
  return changed
end

-- fanfare_count ff:audience <pod> <TTL of peaks and users, ms> <1 to keep them for so long, else 0>
--               [<stream> <viewers> <users who came, with spaces between>] ...
-- answers {'counted' or 'anew', streams of dead pods still to be taken out, of each stream those who watch elsewhere};
-- 'anew' if nothing else is known of the pod, which then says all again. {'later', ...} if nothing was done yet, since
-- there is more to be taken out of what the pod itself had in an earlier life.
local function count(keys, args)
  local key, pod = keys[1], args[1]
  local name = audience_of(pod)
  local living, dead, now = pods_of(key)
  local is_new = not without(living, pod)
  if is_new then
    without(dead, pod)
    table.insert(dead, 1, pod)
  else
    living[#living + 1] = pod
  end
  local left = take_out(key, dead, living)
  if is_new then
    if redis.call('HLEN', name) > 0 then
      return { 'later', whole(left) }
    end
    living[#living + 1] = pod
  end
  redis.call('HSET', key, pod, whole(now + AUDIENCE_TTL_MS))
  redis.call('PEXPIRE', key, AUDIENCE_KEPT_MS)

  local streams, viewers, users = {}, {}, {}
  for index = 4, #args, 3 do
    streams[#streams + 1] = args[index]
    viewers[#viewers + 1] = tonumber(args[index + 1])
    users[#users + 1] = args[index + 2]
  end
  local answer = { is_new and 'anew' or 'counted', whole(left) }
  if #streams > 0 then
    local changed = set_counts(name, streams, viewers)
    local totals = tell(streams, living, changed, pod)
    remember(streams, totals, users, now, args[2], args[3] == '1')
    for index = 1, #streams do
      answer[index + 2] = whole(totals[index] - viewers[index])
    end
  end
  redis.call('PEXPIRE', name, AUDIENCE_KEPT_MS)
  confirm_peaks(key, now)
  return answer
end

-- fanfare_uncount ff:audience <pod> takes out a pod that goes away; answers how many streams of the dead are left.
local function uncount(keys, args)
  local living, dead = pods_of(keys[1])
  without(living, args[1])
  without(dead, args[1])
  table.insert(dead, 1, args[1])
  -- What this call leaves, the next ones take out.
  redis.call('HSET', keys[1], args[1], '0')
  return whole(take_out(keys[1], dead, living))
end

-- How many watch the stream on other pods, and the most at once.
local function watched(name, pod)
  local stream = string.match(name, '^ff:{(.*)}$')
  local living = pods_of(AUDIENCE)
  without(living, pod)
  local elsewhere = 0
  for _, each in ipairs(living) do
    elsewhere = elsewhere + (redis.call('HGET', audience_of(each), stream) or 0)
  end
  local peak = redis.call('MGET', name .. ':p')[1]
  return whole(elsewhere), whole(tonumber(peak or 0) or 0)
end

-- fanfare_audience ff:{stream} <pod> answers {viewers on other pods, the most at once, about how many users}.
local function audience(keys, args)
  local elsewhere, peak = watched(keys[1], args[1])
  local users = redis.pcall('PFCOUNT', keys[1] .. ':u')
  return { elsewhere, peak, whole(type(users) == 'number' and users or 0) }
end

-- fanfare_peek_audience ff:{stream} <pod> answers {viewers on other pods, the most at once}: PFCOUNT, which keeps its
-- result in the key, counts as a write within a function, and may be called without one.
local function peek_audience(keys, args)
  return { watched(keys[1], args[1]) }
end

-- Counting goes on when memory is full: it writes little, and whoever does not call counts no more.
redis.register_function{ function_name = 'fanfare_count', callback = count, flags = { 'allow-oom' } }
redis.register_function{ function_name = 'fanfare_uncount', callback = uncount, flags = { 'allow-oom' } }
redis.register_function{ function_name = 'fanfare_audience', callback = audience, flags = { 'allow-oom' } }
redis.register_function{ function_name = 'fanfare_peek_audience', callback = peek_audience, flags = { 'no-writes' } }
