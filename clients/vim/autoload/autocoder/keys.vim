" Keys: what they do while ghost text shows, and that they do what they did before when not.
scriptencoding utf-8

" <M-]> and the like are Ý, Û and Ü to Vim in a terminal, so these are Neovim's alone.
let s:defaults = [
      \ ['accept', ['<Tab>']],
      \ ['word', ['<M-Right>']],
      \ ['line', ['<M-C-Right>']],
      \ ['next', ['<M-Down>'] + (has('nvim') ? ['<M-]>'] : [])],
      \ ['previous', ['<M-Up>'] + (has('nvim') ? ['<M-[>'] : [])],
      \ ['dismiss', ['<C-]>']],
      \ ]
let s:triggers = ['<C-X><C-A>'] + (has('nvim') ? ['<M-Bslash>'] : [])

let s:mapped = []
let s:wraps = 0

" Map the customary keys, except for what the user has mapped to a key of their own.
function! autocoder#keys#map_defaults() abort
  if !autocoder#setting('maps')
    return
  endif
  for [l:action, l:keys] in s:defaults
    if !hasmapto('<Plug>(autocoder-' .. l:action .. ')', 'i')
      call extend(s:mapped, map(copy(l:keys), '[v:val, l:action]'))
    endif
  endfor
  call autocoder#keys#wrap()
  call s:map_triggers()
endfunction

" Put ours before whatever the keys are mapped to now, be it by a plugin loaded late or in this
" buffer alone (snippets). Needed only while a suggestion shows, since else they do that anyway.
function! autocoder#keys#wrap() abort
  for [l:key, l:action] in s:mapped
    let l:before = maparg(l:key, 'i', 0, 1)
    if get(l:before, 'rhs', '') !~# '^autocoder#keys#press('
      call s:put_before(l:key, l:action, l:before)
    endif
  endfor
endfunction

" What a wrapped key types: its action if a suggestion shows, else what it typed before.
function! autocoder#keys#press(action, number) abort
  return autocoder#suggest#visible() ? "\<Plug>(autocoder-" .. a:action .. ')'
        \ : "\<Plug>(autocoder-before-" .. a:number .. ')'
endfunction

" What <Plug>(autocoder-accept) and its kin type: nothing where no suggestion shows.
function! autocoder#keys#accept(amount) abort
  if !autocoder#suggest#visible()
    return ''
  endif
  call autocoder#insert#prepare(autocoder#suggest#part(a:amount))
  return "\<Plug>(autocoder-insert)"
endfunction

function! s:put_before(key, action, before) abort
  let s:wraps += 1
  let l:local = get(a:before, 'buffer', 0) ? '<buffer>' : ''
  call s:keep(a:key, a:before, '<Plug>(autocoder-before-' .. s:wraps .. ')')
  execute printf('imap <silent> <expr> %s %s autocoder#keys#press(%s, %d)',
        \ l:local, a:key, string(a:action), s:wraps)
endfunction

" Map `name` to what `key` did: `before` is its map as maparg() tells it, {} if it had none.
function! s:keep(key, before, name) abort
  if empty(a:before)
    execute 'inoremap <silent>' a:name a:key
    return
  endif
  let l:map = extend(copy(a:before), {'lhs': a:name, 'lhsraw': eval('"\' .. a:name .. '"')})
  let l:script = '<SNR>' .. get(a:before, 'sid', 0) .. '_'
  let l:map.rhs = substitute(get(a:before, 'rhs', ''), '\c<SID>', l:script, 'g')
  " `imap <Tab> <Tab>x` does not call itself; under its new name it would.
  let l:map.noremap = a:before.noremap || stridx(l:map.rhs, a:key) == 0
  if has('nvim')
    call v:lua.require'autocoder.keymap'.keep(l:map.buffer, a:before.lhs, a:name, l:map.rhs)
  else
    call mapset('i', 0, l:map)
  endif
endfunction

function! s:map_triggers() abort
  for l:key in s:triggers
    if !hasmapto('<Plug>(autocoder-trigger)', 'i') && empty(maparg(l:key, 'i'))
      execute 'imap <silent>' l:key '<Plug>(autocoder-trigger)'
    endif
  endfor
endfunction
