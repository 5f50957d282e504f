" :Autocoder: the switches by hand, and what the plugin can say of itself.
scriptencoding utf-8

let s:words = ['disable', 'enable', 'log', 'restart', 'stats', 'status', 'toggle']

function! autocoder#command#complete(lead, line, at) abort
  return filter(copy(s:words), 'stridx(v:val, a:lead) == 0')
endfunction

function! autocoder#command#run(word) abort
  let l:word = empty(a:word) ? 'status' : a:word
  let l:why = autocoder#why_unsupported()
  if !empty(l:why)
    call s:complain(l:why)
  elseif index(s:words, l:word) < 0
    call s:complain('no command ' .. string(l:word) .. '; there are: ' .. join(s:words, ', '))
  else
    call s:{l:word}()
  endif
endfunction

function! s:complain(text) abort
  echohl ErrorMsg
  echomsg 'autocoder: ' .. a:text
  echohl None
endfunction

function! s:enable() abort
  call autocoder#enable()
  echo 'autocoder: on'
endfunction

function! s:disable() abort
  call autocoder#disable()
  echo 'autocoder: off'
endfunction

function! s:toggle() abort
  call autocoder#toggle()
  echo 'autocoder: ' .. (autocoder#setting('enabled') ? 'on' : 'off')
endfunction

function! s:restart() abort
  echo autocoder#bridge#restart() ? 'autocoder: bridge restarted' : 'autocoder: see :Autocoder log'
endfunction

function! s:log() abort
  call s:fill(s:window('autocoder://log'), autocoder#log#lines())
  normal! G
endfunction

" Go to the window with this title, a new one if there is none; returns its buffer.
function! s:window(title) abort
  if win_gotoid(bufwinid(a:title))
    return bufnr('%')
  endif
  botright new
  setlocal buftype=nofile bufhidden=wipe noswapfile
  execute 'silent keepalt file' fnameescape(a:title)
  return bufnr('%')
endfunction

function! s:fill(buffer, lines) abort
  if bufloaded(a:buffer)
    call setbufvar(a:buffer, '&modifiable', 1)
    silent call deletebufline(a:buffer, 1, '$')
    call setbufline(a:buffer, 1, a:lines)
    call setbufvar(a:buffer, '&modifiable', 0)
  endif
endfunction

" Why there is ghost text here, or why not.
function! s:status() abort
  let l:why = autocoder#wanted#why_silent()
  echo 'autocoder: ' .. (empty(l:why) ? 'on' : 'nothing here of itself: ' .. l:why)
  echo 'bridge:    ' .. autocoder#bridge#state() .. ' (' .. join(autocoder#executable#bridge()) .. ')'
  let l:hello = autocoder#bridge#hello()
  if !empty(l:hello)
    let l:model = get(l:hello, 'model', {})
    echo 'daemon:    ' .. get(l:hello, 'version', '?') .. ', ' .. s:provider(l:hello)
    echo 'model:     ' .. get(l:model, 'name', '?') .. ', ' .. join(get(l:model, 'languages', []), ' ')
  endif
endfunction

function! s:provider(hello) abort
  return type(get(a:hello, 'provider')) == v:t_string ? a:hello.provider : 'still loading'
endfunction

" The daemon's own figures; they arrive in a moment, when one may be typing elsewhere already.
function! s:stats() abort
  let l:buffer = s:window('autocoder://stats')
  let l:asked = autocoder#bridge#send({'type': 'status'}, {reply -> s:show_stats(l:buffer, reply)})
  call s:fill(l:buffer, empty(l:asked) ? ['the bridge is down; see :Autocoder log'] : ['…'])
endfunction

function! s:show_stats(buffer, reply) abort
  let l:figures = filter(copy(a:reply), 'index(["v", "type", "id", "model"], v:key) < 0')
  call s:fill(a:buffer,
        \ map(sort(keys(l:figures)), 'printf("%-12s %s", v:val, s:plain(l:figures[v:val]))'))
endfunction

function! s:plain(figure) abort
  return substitute(a:figure is v:null ? '-' : string(a:figure), "[{}']", '', 'g')
endfunction
