" Speaks docs/protocol.md with `autocoder bridge`: requests out, each reply to its callback.
" Starts the bridge when first needed, and again with growing pauses when it dies or hangs.
" Knows no buffers and no ghost text.
scriptencoding utf-8

" More unanswered completions than this stay here: only the newest is worth sending later.
let s:most_unanswered = 4
let s:longest_pause = 60.0

let s:job = {}
let s:unanswered = {}
let s:held_back = {}
let s:number = 0
let s:failures = 0
let s:not_before = 0.0
let s:hello = {}
let s:junk = 0

" Send `request` (its `type` and fields) and call on_reply(reply) with the answer.
" Returns the request's id, or an empty string where the bridge is down for now.
function! autocoder#bridge#send(request, on_reply) abort
  return s:ready() && s:write(a:request.type, s:new_id(), json_encode(a:request), a:on_reply)
        \ ? string(s:number) : ''
endfunction

" The same for what is not worth starting the bridge for, which may cost a key some milliseconds.
function! autocoder#bridge#tell(message) abort
  return !empty(s:job) && s:write(a:message.type, s:new_id(), json_encode(a:message), {_ -> 0})
endfunction

" The same as `send` for a `complete` that is encoded already. While too many are unanswered it stays here.
function! autocoder#bridge#complete(json, on_reply) abort
  if !s:ready()
    return ''
  endif
  let l:id = s:new_id()
  if s:completions() >= s:most_unanswered
    let s:held_back = {'id': l:id, 'json': a:json, 'on_reply': a:on_reply}
    return l:id
  endif
  return s:write('complete', l:id, a:json, a:on_reply) ? l:id : ''
endfunction

" 'off' (not started yet), 'starting' (it has not answered yet), 'ready' or 'down'.
function! autocoder#bridge#state() abort
  if empty(s:job)
    return s:failures ? 'down' : 'off'
  endif
  return empty(s:hello) ? 'starting' : 'ready'
endfunction

" What the daemon said of itself and its model; {} before that.
function! autocoder#bridge#hello() abort
  return s:hello
endfunction

" How many completions are unanswered.
function! autocoder#bridge#waiting() abort
  return s:completions()
endfunction

function! autocoder#bridge#stop() abort
  if !empty(s:job)
    let l:job = s:job
    call s:forget()
    call autocoder#job#kill(l:job)
  endif
endfunction

" Stop it, forget earlier failures, and start it again.
function! autocoder#bridge#restart() abort
  call autocoder#bridge#stop()
  let s:failures = 0
  let s:not_before = 0.0
  return s:ready()
endfunction

function! s:now() abort
  return reltimefloat(reltime())
endfunction

function! s:completions() abort
  return len(filter(copy(s:unanswered), {_, request -> request.type ==# 'complete'}))
endfunction

function! s:new_id() abort
  let s:number += 1
  return string(s:number)
endfunction

" Is the bridge there to write to? Starts it, or ends one that has hung for too long.
function! s:ready() abort
  if !empty(s:job) && s:hung()
    call autocoder#log#add('no answer within the time allowed (g:autocoder_timeout)')
    let l:job = s:job
    call s:failed()
    call autocoder#job#kill(l:job)
  endif
  return !empty(s:job) || (s:now() >= s:not_before && s:start())
endfunction

" The oldest request decides. Before the first answer a model may have to be loaded.
function! s:hung() abort
  if empty(s:unanswered)
    return 0
  endif
  let l:allowed = autocoder#number('timeout') / 1000.0 * (empty(s:hello) ? 3 : 1)
  let l:oldest = min(map(values(s:unanswered), {_, request -> float2nr(request.sent * 1000)}))
  return s:now() - l:oldest / 1000.0 > l:allowed
endfunction

function! s:start() abort
  let l:command = autocoder#executable#bridge()
  if !executable(l:command[0])
    call autocoder#log#warn('no executable ' .. string(l:command[0])
          \ .. '; set g:autocoder_command (:help autocoder-install)')
    call s:failed()
    return 0
  endif
  " The number tells a late word of an earlier process from this one's.
  let l:run = s:number
  let s:run = l:run
  let s:job = autocoder#job#start(l:command,
        \ {line -> s:run == l:run ? s:receive(line) : 0},
        \ {line -> autocoder#log#add('bridge: ' .. line)},
        \ {status -> s:run == l:run ? s:exited(status) : 0})
  if empty(s:job)
    call s:failed()
    return 0
  endif
  call autocoder#log#add('started: ' .. join(l:command))
  return s:greet()
endfunction

function! s:greet() abort
  let l:client = has('nvim') ? 'neovim' : 'vim'
  let l:hello = {'type': 'hello', 'client': l:client, 'version': ''}
  return s:write('hello', s:new_id(), json_encode(l:hello), function('s:greeted'))
endfunction

" A daemon that was still loading could not say what the model runs on; now it can.
function! s:greet_again() abort
  if type(get(s:hello, 'provider', '')) != v:t_string
    call s:greet()
  endif
endfunction

function! s:greeted(reply) abort
  if a:reply.type ==# 'hello'
    let s:hello = a:reply
  endif
endfunction

" Write a message: `json` is its object without `v` and `id`.
function! s:write(type, id, json, on_reply) abort
  if !autocoder#job#write(s:job, '{"v":1,"id":"' .. a:id .. '",' .. strpart(a:json, 1))
    call s:failed()
    return 0
  endif
  let s:unanswered[a:id] = {'type': a:type, 'sent': s:now(), 'on_reply': a:on_reply}
  return 1
endfunction

function! s:receive(line) abort
  let l:reply = s:decode(a:line)
  if empty(l:reply)
    return s:received_junk(a:line)
  endif
  let l:request = has_key(s:unanswered, l:reply.id) ? remove(s:unanswered, l:reply.id) : {}
  if l:reply.type ==# 'error'
    call s:received_error(l:reply)
  elseif l:reply.type ==# 'completion'
    let s:failures = 0
    call s:greet_again()
  endif
  call s:send_held_back()
  if !empty(l:request)
    call autocoder#guard#run(l:request.on_reply, [l:reply])
  endif
endfunction

" A reply as a dictionary with the strings `type` and `id`, or {}.
function! s:decode(line) abort
  try
    let l:reply = json_decode(a:line)
  catch
    return {}
  endtry
  if type(l:reply) != v:t_dict || type(get(l:reply, 'type')) != v:t_string
    return {}
  endif
  let l:reply.id = type(get(l:reply, 'id')) == v:t_string ? l:reply.id : ''
  return l:reply
endfunction

" A line or two of junk may be a library's warning; much of it is no bridge.
function! s:received_junk(line) abort
  let s:junk += 1
  call autocoder#log#add('not a message: ' .. strcharpart(a:line, 0, 100))
  if s:junk > 50 && !empty(s:job)
    let l:job = s:job
    call s:failed()
    call autocoder#job#kill(l:job)
  endif
endfunction

function! s:received_error(reply) abort
  let l:text = get(a:reply, 'code', 'error') .. ': ' .. get(a:reply, 'text', '')
  if get(a:reply, 'code', '') ==# 'model'
    call autocoder#log#warn(l:text)
  else
    call autocoder#log#add(l:text)
  endif
endfunction

function! s:send_held_back() abort
  if !empty(s:held_back) && s:completions() < s:most_unanswered && !empty(s:job)
    let l:held = s:held_back
    let s:held_back = {}
    call s:write('complete', l:held.id, l:held.json, l:held.on_reply)
  endif
endfunction

function! s:exited(status) abort
  call autocoder#log#add('the bridge ended with status ' .. a:status)
  call s:failed()
endfunction

" Forget the process and let the next one wait: 0.5 s, 1 s, 2 s, … a minute.
function! s:failed() abort
  call s:forget()
  let s:failures += 1
  let l:pause = min([float2nr(pow(2, min([s:failures, 10])) * 250), float2nr(s:longest_pause * 1000)])
  let s:not_before = s:now() + l:pause / 1000.0
endfunction

function! s:forget() abort
  let s:run = -1
  let s:job = {}
  let s:unanswered = {}
  let s:held_back = {}
  let s:hello = {}
  let s:junk = 0
endfunction
