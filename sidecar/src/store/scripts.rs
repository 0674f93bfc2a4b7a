//! The scripts that write: each is one atomic step in Redis and checks the epoch first, so that an owner of the past
//! can change nothing. KEYS\[1\] is `own:{function/sub}`, KEYS\[2\] is `log:{function/sub}`.
//!
//! Each answers `{verdict, epoch, last, owner, address, node}`, so that a caller that lost a reply can find out what
//! happened. A repeated frame number is answered OK.

/// `claim`: ARGV = epoch, owner, address, node, incarnation.
pub(super) const CLAIM: &str = r#"
local stored = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
local verdict = 'REFUSED'
if tonumber(ARGV[1]) > stored then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'owner', ARGV[2], 'address', ARGV[3], 'node', ARGV[4])
  redis.call('HSETNX', KEYS[1], 'last', '0')
  redis.call('HSETNX', KEYS[1], 'incarnation', ARGV[5])
  verdict = 'OK'
end
local h = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'owner', 'address', 'node')
return {verdict, h[1], h[2], h[3], h[4], h[5]}
"#;

/// `append` and `seal`: ARGV = epoch, number, frame [, next owner, next address, next node].
/// With a next owner the frame is final and ownership changes to it at epoch + 1 in the same step.
pub(super) const APPEND: &str = r#"
local h = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'owner', 'address', 'node')
local epoch, last = tonumber(h[1] or '0'), tonumber(h[2] or '0')
local n = tonumber(ARGV[2])
local function answer(verdict)
  local now = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'owner', 'address', 'node')
  return {verdict, now[1] or '0', now[2] or '0', now[3] or '', now[4] or '', now[5] or ''}
end
if ARGV[4] and epoch == tonumber(ARGV[1]) + 1 and last >= n and redis.call('HGET', KEYS[1], 'sealed') == ARGV[2] then
  return answer('OK')
end
if epoch == 0 then return answer('GONE') end
if epoch ~= tonumber(ARGV[1]) then return answer('FENCED') end
if n <= last then return answer('OK') end
if n ~= last + 1 then return answer('GAP') end
redis.call('XADD', KEYS[2], n .. '-0', 'f', ARGV[3])
redis.call('HSET', KEYS[1], 'last', ARGV[2])
if ARGV[4] then
  redis.call('HSET', KEYS[1], 'epoch', epoch + 1, 'owner', ARGV[4], 'address', ARGV[5], 'node', ARGV[6], 'sealed', ARGV[2])
end
return answer('OK')
"#;

/// `snapshot`: ARGV = epoch, base, and either index, blob or 'done', blobs. KEYS\[3\] is the blob's key or, for
/// 'done', the blobs of the snapshot before. The frame at the base stays: it tells where the edges stood.
pub(super) const SNAPSHOT: &str = r#"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 'FENCED' end
if ARGV[3] == 'done' then
  redis.call('HSET', KEYS[1], 'snapshot', ARGV[2] .. ' ' .. ARGV[4])
  redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2] .. '-0')
  for i = 3, #KEYS do redis.call('UNLINK', KEYS[i]) end
else
  redis.call('SET', KEYS[3], ARGV[4])
end
return 'OK'
"#;
