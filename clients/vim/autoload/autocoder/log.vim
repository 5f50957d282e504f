" The last lines of what happened, for :Autocoder log. Never text of the user's.
scriptencoding utf-8

let s:lines = []
let s:keep = 500
let s:warned = {}
let s:unsaid = ''

function! autocoder#log#add(text) abort
  call add(s:lines, strftime('%H:%M:%S ') .. strcharpart(a:text, 0, 500))
  if len(s:lines) > s:keep
    call remove(s:lines, 0, len(s:lines) - s:keep - 1)
  endif
endfunction

" Log, and say it once a session, out of Insert mode, cut so that it cannot ask for <Enter>.
function! autocoder#log#warn(text) abort
  call autocoder#log#add(a:text)
  if has_key(s:warned, a:text)
    return
  endif
  let s:warned[a:text] = 1
  let s:unsaid = strcharpart(tr(a:text, "\n", ' '), 0, max([20, &columns - 24]))
  if mode() !~# '^[iR]'
    call autocoder#log#say()
  endif
endfunction

" Say what waits. In Insert mode it would be covered at once, and would disturb: it waits for the
" mode's end. From a timer, when the screen has been drawn.
function! autocoder#log#say() abort
  if !empty(s:unsaid)
    call timer_start(20, {_ -> s:say()})
  endif
endfunction

function! s:say() abort
  if empty(s:unsaid) || mode() =~# '^[iR]'
    return
  endif
  redraw
  echohl WarningMsg
  echomsg 'autocoder: ' .. s:unsaid
  echohl None
  let s:unsaid = ''
endfunction

function! autocoder#log#lines() abort
  return copy(s:lines)
endfunction
